mod connect;
mod dialer;
mod gate;
mod hearsay;
mod hung;
mod kad;
mod network;
mod partition;
