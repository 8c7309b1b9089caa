package openapi

import (
	"encoding/json"
	"strings"

	"github.com/mezusphere/mezu/api"
)

// bodyExample is a body of an operation as somebody may send it, nil if there is none. What is
// one of a project's directory is one of an organization's.
func bodyExample(op api.Operation) any {
	text := bodies()[op.ID]
	if text == "" {
		text = bodies()[strings.Replace(op.ID, "-organization-", "-", 1)]
	}
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

func bodies() map[string]string {
	return map[string]string{
		api.OpCreateOrganization.ID:   `{"name": "acme", "display_name": "Acme Corporation"}`,
		api.OpUpdateOrganization.ID:   `{"device_login": false}`,
		api.OpUpdateMember.ID:         `{"role": "developer"}`,
		api.OpCreateInvitation.ID:     `{"email": "ada@acme.example", "role": "developer"}`,
		api.OpCreateToken.ID:          `{"name": "nightly report", "permissions": ["projects.read", "routes.read"]}`,
		api.OpCreateProject.ID:        `{"name": "shop", "roles": {"staff": {"permissions": ["orders.read"]}}}`,
		api.OpUpdateProject.ID:        `{"display_name": "The shop"}`,
		api.OpApplyProject.ID:         `{"manifest": {"environments": {"production": {"routes": [{"exact": "/health"}, {"prefix": "/", "upstream": "localhost:3000"}]}}}, "dry_run": true}`,
		api.OpCreateEnvironment.ID:    `{"name": "production"}`,
		api.OpUpdateEnvironment.ID:    `{"enabled": false}`,
		api.OpReplaceRoutes.ID:        `{"routes": [{"exact": "/health"}, {"prefix": "/", "upstream": "localhost:3000"}]}`,
		api.OpCreateRoute.ID:          `{"name": "api", "prefix": "/api/", "upstream": "localhost:8080", "auth": "required", "timeout": "30s"}`,
		api.OpUpdateRoute.ID:          `{"methods": ["GET", "POST"], "timeout": null}`,
		api.OpCreateWebhook.ID:        `{"name": "payments", "provider": "stripe"}`,
		api.OpUpdateWebhook.ID:        `{"tolerance": "10m"}`,
		api.OpSetWebhookSecret.ID:     `{"secret": "whsec_…"}`,
		api.OpCreateServiceAccount.ID: `{"name": "deploy", "permissions": ["warpgate.register"]}`,
		api.OpUpdateServiceAccount.ID: `{"permissions": ["warpgate.register", "routes.read"]}`,
		api.OpRotateServiceAccount.ID: `{"overlap": "24h"}`,
		api.OpCreateDirectory.ID:      `{"name": "customers", "signup": "open", "session": {"idle": "24h", "absolute": "7d"}}`,
		api.OpUpdateDirectory.ID:      `{"brand": {"name": "Acme", "color": "#0b5fff"}}`,
		api.OpCreateUser.ID:           `{"profile": {"email": "ada@customer.example", "name": "Ada"}, "invite": {}}`,
		api.OpUpdateUser.ID:           `{"status": "suspended"}`,
		api.OpResetUser.ID:            `{"language": "de"}`,
		api.OpCreateOperator.ID:       `{"email": "ops@acme.example"}`,
	}
}
