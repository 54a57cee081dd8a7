mod connect;
mod dialer;
mod gate;
mod hearsay;
mod kad;
mod network;
mod partition;
