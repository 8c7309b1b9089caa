package cli

import "github.com/urfave/cli/v2"

// examples are what the help of each command shows: a line that works as it is typed. A test runs
// them, by which they stay true.
func examples() map[string]string {
	return map[string]string{
		"dev":       "mezu dev 8080",
		"dashboard": "mezu dashboard --theme light",
		"login":     "mezu login --api https://control.example.com",
		"logout":    "mezu logout --profile acme",
		"whoami":    "mezu whoami -o json",
		"use":       "mezu use acme/shop/staging",
		"version":   "mezu version -o json",
		"update":    "mezu update --check",

		"profiles list":   "mezu profiles list",
		"profiles delete": "mezu profiles delete acme --yes",

		"tunnel":       "mezu tunnel 5173",
		"tunnel list":  "mezu tunnel list -o json",
		"tunnel show":  "mezu tunnel show shop/dev-ada",
		"tunnel start": "mezu tunnel start shop/dev-ada",
		"tunnel stop":  "mezu tunnel stop shop/dev-ada",
		"tunnel rm":    "mezu tunnel rm shop/dev-ada",
		"tunnel open":  "mezu tunnel open shop/dev-ada",

		"requests list":   "mezu requests list --filter 'status:5xx path:/hooks/*'",
		"requests show":   "mezu requests show latest",
		"requests diff":   "mezu requests diff @1 @2",
		"requests replay": "mezu requests replay latest --set-header 'X-Debug: 1'",
		"requests edit":   "mezu requests edit latest",
		"requests curl":   "mezu requests curl latest",
		"requests har":    "mezu requests har --filter path:/hooks/* -O hooks.har",
		"requests pin":    "mezu requests pin latest",
		"requests clear":  "mezu requests clear --yes",
		"requests web":    "mezu requests web",

		"status": "mezu status --wait --timeout 30s",
		"doctor": "mezu doctor --bundle doctor.zip",

		"daemon run":       "mezu daemon run",
		"daemon start":     "mezu daemon start",
		"daemon stop":      "mezu daemon stop",
		"daemon restart":   "mezu daemon restart",
		"daemon status":    "mezu daemon status -o json",
		"daemon logs":      "mezu daemon logs -f",
		"daemon install":   "mezu daemon install",
		"daemon uninstall": "mezu daemon uninstall",

		"orgs list":   "mezu orgs list",
		"orgs show":   "mezu orgs show acme",
		"orgs create": "mezu orgs create acme --display-name 'Acme Ltd'",
		"orgs update": "mezu orgs update acme --device-login false",
		"orgs delete": "mezu orgs delete acme --yes",

		"bootstrap":          "mezu bootstrap --api https://control.example.com --code mezuboot_...",
		"invitations accept": "mezu invitations accept mezuinvite_... --email ana@example.com",
		"operators list":     "mezu operators list",
		"operators show":     "mezu operators show prs_06h26kh6kmnrhmzmsjng20d7zg",
		"operators create":   "mezu operators create bo@example.com",
		"operators delete":   "mezu operators delete prs_06h26kh6kmnrhmzmsjng20d7zg --yes",
		"tokens list":        "mezu tokens list",
		"tokens show":        "mezu tokens show tok_06h26kh6kmnrhmzmsjng20d7zg",
		"tokens create":      "mezu tokens create nightly --permission projects.read --expires-in 90d",
		"tokens delete":      "mezu tokens delete tok_06h26kh6kmnrhmzmsjng20d7zg --yes",
		"edges list":         "mezu edges list",
		"edges show":         "mezu edges show edge",
		"edges delete":       "mezu edges delete edge --yes",

		"members list":               "mezu members list",
		"members show":               "mezu members show mbr_06h26kh6kmnrhmzmsjng20d7zg",
		"members invite":             "mezu members invite ana@example.com --role viewer",
		"members invitations list":   "mezu members invitations list",
		"members invitations show":   "mezu members invitations show inv_06h26kh6kmnrhmzmsjng20d7zg",
		"members invitations delete": "mezu members invitations delete inv_06h26kh6kmnrhmzmsjng20d7zg --yes",
		"members update":             "mezu members update mbr_06h26kh6kmnrhmzmsjng20d7zg --role developer",
		"members delete":             "mezu members delete mbr_06h26kh6kmnrhmzmsjng20d7zg --yes",

		"projects list":   "mezu projects list -o json",
		"projects show":   "mezu projects show shop",
		"projects create": "mezu projects create shop --role staff=orders.read",
		"projects update": "mezu projects update shop --display-name 'The shop'",
		"projects delete": "mezu projects delete shop --yes",

		"environments list":    "mezu environments list -p shop",
		"environments show":    "mezu environments show staging -p shop",
		"environments create":  "mezu environments create staging -p shop",
		"environments update":  "mezu environments update staging -p shop --directory customers",
		"environments enable":  "mezu environments enable staging -p shop",
		"environments disable": "mezu environments disable staging -p shop",
		"environments delete":  "mezu environments delete staging -p shop --yes",

		"routes list":   "mezu routes list -p shop -e staging",
		"routes show":   "mezu routes show api -p shop -e staging",
		"routes create": "mezu routes create api --prefix /api/ --auth required -p shop -e staging",
		"routes update": "mezu routes update api --timeout 10s -p shop -e staging",
		"routes delete": "mezu routes delete api -p shop -e staging --yes",
		"routes test":   "mezu routes test GET /api/orders --as ana@example.com -p shop -e staging",

		"service-accounts list":   "mezu service-accounts list -p shop",
		"service-accounts show":   "mezu service-accounts show ci -p shop",
		"service-accounts create": "mezu service-accounts create ci --permission warpgate.register -p shop",
		"service-accounts update": "mezu service-accounts update ci --permission routes.read -p shop",
		"service-accounts rotate": "mezu service-accounts rotate ci --overlap 1h -p shop",
		"service-accounts delete": "mezu service-accounts delete ci -p shop --yes",

		"webhooks list":       "mezu webhooks list -p shop -e staging",
		"webhooks show":       "mezu webhooks show payments -p shop -e staging",
		"webhooks create":     "mezu webhooks create payments --provider stripe -p shop -e staging",
		"webhooks update":     "mezu webhooks update payments --tolerance 10m -p shop -e staging",
		"webhooks set-secret": "mezu webhooks set-secret payments --secret-file stripe.txt -p shop -e staging",
		"webhooks delete":     "mezu webhooks delete payments -p shop -e staging --yes",

		"warpgates list":    "mezu warpgates list -p shop -e staging",
		"warpgates show":    "mezu warpgates show wgt_06h26kh6kmnrhmzmsjng20d7zg -p shop -e staging",
		"warpgates drain":   "mezu warpgates drain wgt_06h26kh6kmnrhmzmsjng20d7zg -p shop -e staging",
		"warpgates undrain": "mezu warpgates undrain wgt_06h26kh6kmnrhmzmsjng20d7zg -p shop -e staging",
		"warpgates delete":  "mezu warpgates delete wgt_06h26kh6kmnrhmzmsjng20d7zg -p shop -e staging --yes",

		"directories list":   "mezu directories list -p shop",
		"directories show":   "mezu directories show customers -p shop",
		"directories create": "mezu directories create customers --signup open -p shop",
		"directories update": "mezu directories update customers --session-idle 12h -p shop",
		"directories logo":   "mezu directories logo customers logo.png -p shop",
		"directories delete": "mezu directories delete customers -p shop --yes",

		"users list":           "mezu users list -d customers --status active -p shop",
		"users show":           "mezu users show ana@example.com -d customers -p shop",
		"users create":         "mezu users create ana@example.com -d customers --name Ana -p shop",
		"users update":         "mezu users update ana@example.com -d customers --role shop/staff -p shop",
		"users suspend":        "mezu users suspend ana@example.com -d customers -p shop",
		"users activate":       "mezu users activate ana@example.com -d customers -p shop",
		"users invite":         "mezu users invite ana@example.com -d customers -p shop",
		"users reset-password": "mezu users reset-password ana@example.com -d customers -p shop",
		"users logins":         "mezu users logins ana@example.com -d customers -p shop",
		"users sessions":       "mezu users sessions ana@example.com -d customers --end-all -p shop",
		"users delete":         "mezu users delete ana@example.com -d customers -p shop --yes",

		"audit":    "mezu audit --since 1h --operation create-project",
		"validate": "mezu validate -f mezu.yaml",
		"diff":     "mezu diff -f mezu.yaml -p shop",
		"apply":    "mezu apply -f mezu.yaml -p shop",
		"export":   "mezu export -p shop > shop.yaml",

		"trust":      "mezu trust --profile dev --yes",
		"completion": "mezu completion bash",

		"help exit-codes":  "mezu help exit-codes",
		"help environment": "mezu help environment",
		"help scripting":   "mezu help scripting",
	}
}

// exemplify gives each command its example. A group of commands has that of its first.
func exemplify(commands []*cli.Command, path string, all map[string]string) {
	for _, c := range commands {
		c.UsageText = all[path+c.Name]
		exemplify(c.Subcommands, path+c.Name+" ", all)
		if c.UsageText == "" && len(c.Subcommands) > 0 {
			c.UsageText = c.Subcommands[0].UsageText
		}
	}
}
