mod alone;
mod candidate;
mod dnsaddr;
mod id;
mod table;
