mod alone;
mod candidate;
mod dns;
mod dnsaddr;
mod http;
mod id;
mod reload;
mod table;
