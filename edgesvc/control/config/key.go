package config

// Keys of projects and what lies in them.
const (
	prefixEndpoint = "endpoint/"
	prefixRoutes   = "routes/"
	prefixWebhooks = "webhooks/"
)

func keyRoutes(environment string) string   { return prefixRoutes + environment }
func keyWebhooks(environment string) string { return prefixWebhooks + environment }
func keyApplied(project string) string      { return "applied/" + project }
func keyKey(hash string) string             { return "key/" + hash }
func keyUsed(account string) string         { return "used/" + account }
func keyEndpoint(label string) string       { return prefixEndpoint + label }
