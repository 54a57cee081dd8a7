mod dialer;
mod gate;
mod hearsay;
mod network;
