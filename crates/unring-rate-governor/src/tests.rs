mod controller;
