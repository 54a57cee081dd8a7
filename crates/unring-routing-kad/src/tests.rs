mod dialer;
mod gate;
mod network;
