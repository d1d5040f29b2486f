servce { name = "web" }
config_entries { bootstraps = [] }
service = "web"
services = ["web"]
service "web" { port = 1 }
