package api

import (
	"net/url"
	"strings"
)

// Operation is one call of the REST API. Paths use {name} for parameters.
type Operation struct {
	ID      string
	Method  string
	Path    string
	Summary string
}

// Operations of the API. The server registers each and refuses to start when
// one has no implementation; the client calls through them.
var (
	OpBootstrap = Operation{"bootstrap", "POST", "/v1/bootstrap", "Redeem the bootstrap code of a new installation"}
	OpSelf      = Operation{"self", "GET", "/v1/self", "Who the caller is"}

	OpListTokens  = Operation{"list-tokens", "GET", "/v1/self/tokens", "List the caller's own bearer tokens"}
	OpCreateToken = Operation{"create-token", "POST", "/v1/self/tokens", "Make a bearer token for the caller; it is shown once"}
	OpGetToken    = Operation{"get-token", "GET", "/v1/self/tokens/{token}", "Show one of the caller's own bearer tokens"}
	OpDeleteToken = Operation{"delete-token", "DELETE", "/v1/self/tokens/{token}", "Revoke one of the caller's own bearer tokens"}

	OpEndLogins = Operation{"end-logins", "DELETE", "/v1/self/logins", "End every login of a program, such as mezu, on behalf of the caller"}

	OpCreateLoginLink       = Operation{"create-login-link", "POST", "/v1/self/login-link", "Make a link with which the caller logs in by a browser, once; it is shown once"}
	OpCreatePersonLoginLink = Operation{"create-person-login-link", "POST", "/v1/persons/{person}/login-link", "Make a link with which a person who has no password logs in, once; it is shown once"}

	OpListOperators  = Operation{"list-operators", "GET", "/v1/operators", "List those who run the installation"}
	OpCreateOperator = Operation{"create-operator", "POST", "/v1/operators", "Make a person operator"}
	OpGetOperator    = Operation{"get-operator", "GET", "/v1/operators/{operator}", "Show an operator"}
	OpDeleteOperator = Operation{"delete-operator", "DELETE", "/v1/operators/{operator}", "Take a person's being operator away"}

	OpListOrganizations  = Operation{"list-organizations", "GET", "/v1/organizations", "List organizations"}
	OpCreateOrganization = Operation{"create-organization", "POST", "/v1/organizations", "Create an organization"}
	OpGetOrganization    = Operation{"get-organization", "GET", "/v1/organizations/{organization}", "Show an organization"}
	OpUpdateOrganization = Operation{"update-organization", "PATCH", "/v1/organizations/{organization}", "Change an organization"}
	OpDeleteOrganization = Operation{"delete-organization", "DELETE", "/v1/organizations/{organization}", "Delete an empty organization"}

	OpListMembers  = Operation{"list-members", "GET", "/v1/organizations/{organization}/members", "List members"}
	OpGetMember    = Operation{"get-member", "GET", "/v1/organizations/{organization}/members/{member}", "Show a member"}
	OpUpdateMember = Operation{"update-member", "PATCH", "/v1/organizations/{organization}/members/{member}", "Change a member's role"}
	OpDeleteMember = Operation{"delete-member", "DELETE", "/v1/organizations/{organization}/members/{member}", "Remove a member, or leave"}

	OpListInvitations  = Operation{"list-invitations", "GET", "/v1/organizations/{organization}/invitations", "List invitations that nobody has redeemed"}
	OpCreateInvitation = Operation{"create-invitation", "POST", "/v1/organizations/{organization}/invitations", "Invite a person; the link is shown once"}
	OpGetInvitation    = Operation{"get-invitation", "GET", "/v1/organizations/{organization}/invitations/{invitation}", "Show an invitation"}
	OpDeleteInvitation = Operation{"delete-invitation", "DELETE", "/v1/organizations/{organization}/invitations/{invitation}", "Withdraw an invitation"}
	OpRedeemInvitation = Operation{"redeem-invitation", "POST", "/v1/invitations/redeem", "Join an organization by the code of an invitation"}

	OpListProjects  = Operation{"list-projects", "GET", "/v1/organizations/{organization}/projects", "List projects"}
	OpCreateProject = Operation{"create-project", "POST", "/v1/organizations/{organization}/projects", "Create a project"}
	OpGetProject    = Operation{"get-project", "GET", "/v1/organizations/{organization}/projects/{project}", "Show a project"}
	OpUpdateProject = Operation{"update-project", "PATCH", "/v1/organizations/{organization}/projects/{project}", "Change a project"}
	OpDeleteProject = Operation{"delete-project", "DELETE", "/v1/organizations/{organization}/projects/{project}", "Delete a project without environments"}

	OpApplyProject  = Operation{"apply-project", "POST", "/v1/organizations/{organization}/projects/{project}/apply", "Bring a project to what a manifest says, at once or not at all"}
	OpExportProject = Operation{"export-project", "GET", "/v1/organizations/{organization}/projects/{project}/export", "A project as a manifest"}

	OpListEnvironments  = Operation{"list-environments", "GET", "/v1/organizations/{organization}/projects/{project}/environments", "List environments"}
	OpCreateEnvironment = Operation{"create-environment", "POST", "/v1/organizations/{organization}/projects/{project}/environments", "Create an environment"}
	OpGetEnvironment    = Operation{"get-environment", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}", "Show an environment"}
	OpUpdateEnvironment = Operation{"update-environment", "PATCH", "/v1/organizations/{organization}/projects/{project}/environments/{environment}", "Change, enable or disable an environment"}
	OpDeleteEnvironment = Operation{"delete-environment", "DELETE", "/v1/organizations/{organization}/projects/{project}/environments/{environment}", "Delete an environment"}

	OpListRoutes    = Operation{"list-routes", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes", "List routes and who runs them"}
	OpReplaceRoutes = Operation{"replace-routes", "PUT", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes", "Replace all routes"}
	OpCreateRoute   = Operation{"create-route", "POST", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes", "Add a route"}
	OpGetRoute      = Operation{"get-route", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes/{route}", "Show a route"}
	OpUpdateRoute   = Operation{"update-route", "PATCH", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes/{route}", "Change a route"}
	OpDeleteRoute   = Operation{"delete-route", "DELETE", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes/{route}", "Delete a route"}

	OpListWebhooks     = Operation{"list-webhooks", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/webhooks", "List webhooks"}
	OpCreateWebhook    = Operation{"create-webhook", "POST", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/webhooks", "Create a webhook"}
	OpGetWebhook       = Operation{"get-webhook", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/webhooks/{webhook}", "Show a webhook"}
	OpUpdateWebhook    = Operation{"update-webhook", "PATCH", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/webhooks/{webhook}", "Change how a webhook's deliveries are verified"}
	OpDeleteWebhook    = Operation{"delete-webhook", "DELETE", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/webhooks/{webhook}", "Delete a webhook"}
	OpSetWebhookSecret = Operation{"set-webhook-secret", "PUT", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/webhooks/{webhook}/secret", "Give a webhook a secret, which is never shown"}

	OpListServiceAccounts  = Operation{"list-service-accounts", "GET", "/v1/organizations/{organization}/projects/{project}/service-accounts", "List service accounts"}
	OpCreateServiceAccount = Operation{"create-service-account", "POST", "/v1/organizations/{organization}/projects/{project}/service-accounts", "Create a service account; its key is shown once"}
	OpGetServiceAccount    = Operation{"get-service-account", "GET", "/v1/organizations/{organization}/projects/{project}/service-accounts/{service_account}", "Show a service account"}
	OpUpdateServiceAccount = Operation{"update-service-account", "PATCH", "/v1/organizations/{organization}/projects/{project}/service-accounts/{service_account}", "Change a service account's permissions or default environment"}
	OpRotateServiceAccount = Operation{"rotate-service-account", "POST", "/v1/organizations/{organization}/projects/{project}/service-accounts/{service_account}/rotate", "Give a service account a new key; it is shown once"}
	OpDeleteServiceAccount = Operation{"delete-service-account", "DELETE", "/v1/organizations/{organization}/projects/{project}/service-accounts/{service_account}", "Delete a service account and cut what its key let in"}

	OpListDirectories = Operation{"list-directories", "GET", "/v1/organizations/{organization}/projects/{project}/directories", "List directories of a project"}
	OpCreateDirectory = Operation{"create-directory", "POST", "/v1/organizations/{organization}/projects/{project}/directories", "Create a directory of a project"}
	OpGetDirectory    = Operation{"get-directory", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}", "Show a directory of a project"}
	OpUpdateDirectory = Operation{"update-directory", "PATCH", "/v1/organizations/{organization}/projects/{project}/directories/{directory}", "Change a directory of a project"}
	OpDeleteDirectory = Operation{"delete-directory", "DELETE", "/v1/organizations/{organization}/projects/{project}/directories/{directory}", "Delete a directory of a project that has no users and that no environment names"}

	OpListOrganizationDirectories = Operation{"list-organization-directories", "GET", "/v1/organizations/{organization}/directories", "List directories of an organization"}
	OpCreateOrganizationDirectory = Operation{"create-organization-directory", "POST", "/v1/organizations/{organization}/directories", "Create a directory of an organization"}
	OpGetOrganizationDirectory    = Operation{"get-organization-directory", "GET", "/v1/organizations/{organization}/directories/{directory}", "Show a directory of an organization"}
	OpUpdateOrganizationDirectory = Operation{"update-organization-directory", "PATCH", "/v1/organizations/{organization}/directories/{directory}", "Change a directory of an organization"}
	OpDeleteOrganizationDirectory = Operation{"delete-organization-directory", "DELETE", "/v1/organizations/{organization}/directories/{directory}", "Delete a directory of an organization that has no users and that no environment names"}

	OpGetLogo    = Operation{"get-logo", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/logo", "The logo of a project's directory, as a PNG"}
	OpSetLogo    = Operation{"set-logo", "PUT", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/logo", "Give a project's directory a logo: a PNG, JPEG or GIF image"}
	OpDeleteLogo = Operation{"delete-logo", "DELETE", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/logo", "Take the logo of a project's directory away"}

	OpGetOrganizationLogo    = Operation{"get-organization-logo", "GET", "/v1/organizations/{organization}/directories/{directory}/logo", "The logo of an organization's directory, as a PNG"}
	OpSetOrganizationLogo    = Operation{"set-organization-logo", "PUT", "/v1/organizations/{organization}/directories/{directory}/logo", "Give an organization's directory a logo: a PNG, JPEG or GIF image"}
	OpDeleteOrganizationLogo = Operation{"delete-organization-logo", "DELETE", "/v1/organizations/{organization}/directories/{directory}/logo", "Take the logo of an organization's directory away"}

	OpListUsers  = Operation{"list-users", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users", "List users of a project's directory"}
	OpCreateUser = Operation{"create-user", "POST", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users", "Create a user of a project's directory"}
	OpGetUser    = Operation{"get-user", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}", "Show a user of a project's directory"}
	OpUpdateUser = Operation{"update-user", "PATCH", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}", "Change, suspend or activate a user of a project's directory, grant and take roles"}
	OpDeleteUser = Operation{"delete-user", "DELETE", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}", "Delete a user of a project's directory and end all sessions"}
	OpGetLogins  = Operation{"get-logins", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}/logins", "Show the last logins of a user of a project's directory, the newest first"}

	OpListOrganizationUsers  = Operation{"list-organization-users", "GET", "/v1/organizations/{organization}/directories/{directory}/users", "List users of an organization's directory"}
	OpCreateOrganizationUser = Operation{"create-organization-user", "POST", "/v1/organizations/{organization}/directories/{directory}/users", "Create a user of an organization's directory"}
	OpGetOrganizationUser    = Operation{"get-organization-user", "GET", "/v1/organizations/{organization}/directories/{directory}/users/{user}", "Show a user of an organization's directory"}
	OpUpdateOrganizationUser = Operation{"update-organization-user", "PATCH", "/v1/organizations/{organization}/directories/{directory}/users/{user}", "Change, suspend or activate a user of an organization's directory, grant and take roles"}
	OpDeleteOrganizationUser = Operation{"delete-organization-user", "DELETE", "/v1/organizations/{organization}/directories/{directory}/users/{user}", "Delete a user of an organization's directory and end all sessions"}
	OpGetOrganizationLogins  = Operation{"get-organization-logins", "GET", "/v1/organizations/{organization}/directories/{directory}/users/{user}/logins", "Show the last logins of a user of an organization's directory, the newest first"}

	OpInviteUser      = Operation{"invite-user", "POST", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}/invite", "Mail an inactive user of a project's directory an invitation"}
	OpResetUser       = Operation{"reset-user", "POST", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}/reset-password", "Mail a user of a project's directory a link to choose a new password"}
	OpGetUserSessions = Operation{"get-user-sessions", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}/sessions", "Show the sessions of a user of a project's directory"}
	OpEndUserSessions = Operation{"end-user-sessions", "DELETE", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}/sessions", "End all sessions of a user of a project's directory"}
	OpEndUserSession  = Operation{"end-user-session", "DELETE", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/{user}/sessions/{session}", "End one session of a user of a project's directory"}

	OpInviteOrganizationUser      = Operation{"invite-organization-user", "POST", "/v1/organizations/{organization}/directories/{directory}/users/{user}/invite", "Mail an inactive user of an organization's directory an invitation"}
	OpResetOrganizationUser       = Operation{"reset-organization-user", "POST", "/v1/organizations/{organization}/directories/{directory}/users/{user}/reset-password", "Mail a user of an organization's directory a link to choose a new password"}
	OpGetOrganizationUserSessions = Operation{"get-organization-user-sessions", "GET", "/v1/organizations/{organization}/directories/{directory}/users/{user}/sessions", "Show the sessions of a user of an organization's directory"}
	OpEndOrganizationUserSessions = Operation{"end-organization-user-sessions", "DELETE", "/v1/organizations/{organization}/directories/{directory}/users/{user}/sessions", "End all sessions of a user of an organization's directory"}
	OpEndOrganizationUserSession  = Operation{"end-organization-user-session", "DELETE", "/v1/organizations/{organization}/directories/{directory}/users/{user}/sessions/{session}", "End one session of a user of an organization's directory"}

	OpListWarpgates        = Operation{"list-warpgates", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/warpgates", "List Warpgates"}
	OpGetWarpgate          = Operation{"get-warpgate", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/warpgates/{warpgate}", "Show a Warpgate"}
	OpDeleteWarpgate       = Operation{"delete-warpgate", "DELETE", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/warpgates/{warpgate}", "Remove a Warpgate and revoke its certificate"}
	OpDrainWarpgate        = Operation{"drain-warpgate", "POST", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/warpgates/{warpgate}/drain", "Send a Warpgate nothing new; what is under way ends"}
	OpUndrainWarpgate      = Operation{"undrain-warpgate", "POST", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/warpgates/{warpgate}/undrain", "Let a Warpgate take requests again"}
	OpCreateEnrolmentToken = Operation{"create-enrolment-token", "POST", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/enrolment-tokens", "Let one Warpgate register without a key"}

	OpRegisterWarpgate = Operation{"register-warpgate", "POST", "/v1/warpgates/register", "Register a Warpgate by key or enrolment token"}
	OpWarpgateTargets  = Operation{"warpgate-targets", "PUT", "/v1/warpgates/targets", "What a Warpgate says of where it sends requests"}
	OpRenewWarpgate    = Operation{"renew-warpgate", "POST", "/v1/warpgates/renew", "Renew a Warpgate's certificate"}

	OpListEdges         = Operation{"list-edges", "GET", "/v1/edges", "List edges"}
	OpGetEdge           = Operation{"get-edge", "GET", "/v1/edges/{edge}", "Show an edge"}
	OpDeleteEdge        = Operation{"delete-edge", "DELETE", "/v1/edges/{edge}", "Remove an edge and revoke its certificate"}
	OpCreateJoinToken   = Operation{"create-join-token", "POST", "/v1/join-tokens", "Let one edge enrol"}
	OpEnrolEdge         = Operation{"enrol-edge", "POST", "/v1/edges/enrol", "Enrol an edge by join token"}
	OpRenewEdge         = Operation{"renew-edge", "POST", "/v1/edges/renew", "Renew an edge's certificate"}
	OpPublicCertificate = Operation{"public-certificate", "POST", "/v1/edges/public-certificate", "Server certificate for endpoints from the internal CA"}
	OpEdgeReport        = Operation{"edge-report", "POST", "/v1/edges/report", "Presence and applied positions"}
	OpEdgeRevocations   = Operation{"edge-revocations", "POST", "/v1/edges/revocations", "Revocations that an edge holds and a restored control plane does not know"}
	OpEdgePage          = Operation{"edge-page", "POST", "/v1/edges/page", "A hosted page of an environment, for a visitor of an edge"}
	OpEdgeRefresh       = Operation{"edge-refresh", "POST", "/v1/edges/refresh", "A new grant for a session that goes on"}
	OpEdgeLogout        = Operation{"edge-logout", "POST", "/v1/edges/logout", "Sessions that ended at an edge"}
	OpShowKeys          = Operation{"show-keys", "GET", "/v1/keys", "Which keys sign and seal, and until when"}
	OpProposeKeys       = Operation{"propose-keys", "POST", "/v1/keys/proposal", "Make new signing keys and propose the keyset that the offline roots are to sign"}
	OpInstallKeys       = Operation{"install-keys", "PUT", "/v1/keys/proposal", "Put the proposed keys in force, endorsed by the offline roots"}
	OpRotateSealKeys    = Operation{"rotate-seal-keys", "POST", "/v1/keys/seal", "Seal everything under a new data key from now on, and the old records in the background"}
	OpBackup            = Operation{"backup", "POST", "/v1/backup", "A backup of the whole installation, encrypted, as one file"}
	OpEdgeStream        = Operation{"edge-stream", "GET", "/v1/edges/stream", "Signed bundles, revocations and keys as they change"}

	OpListAudit              = Operation{"list-audit", "GET", "/v1/organizations/{organization}/audit", "Who did what in an organization"}
	OpWatchAudit             = Operation{"watch-audit", "GET", "/v1/organizations/{organization}/audit/watch", "What is done in an organization, as it happens"}
	OpListInstallationAudit  = Operation{"list-installation-audit", "GET", "/v1/audit", "Who did what to the installation: edges, join tokens, operators, organizations made and deleted"}
	OpWatchInstallationAudit = Operation{"watch-installation-audit", "GET", "/v1/audit/watch", "What is done to the installation, as it happens"}

	OpWatchProjects                = Operation{"watch-projects", "GET", "/v1/organizations/{organization}/projects/watch", "Projects as they are and change"}
	OpWatchEnvironments            = Operation{"watch-environments", "GET", "/v1/organizations/{organization}/projects/{project}/environments/watch", "Environments as they are and change"}
	OpWatchRoutes                  = Operation{"watch-routes", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/routes/watch", "Routes as they are and change"}
	OpWatchServiceAccounts         = Operation{"watch-service-accounts", "GET", "/v1/organizations/{organization}/projects/{project}/service-accounts/watch", "Service accounts as they are and change"}
	OpWatchMembers                 = Operation{"watch-members", "GET", "/v1/organizations/{organization}/members/watch", "Members as they are and change"}
	OpWatchDirectories             = Operation{"watch-directories", "GET", "/v1/organizations/{organization}/projects/{project}/directories/watch", "Directories of a project as they are and change"}
	OpWatchUsers                   = Operation{"watch-users", "GET", "/v1/organizations/{organization}/projects/{project}/directories/{directory}/users/watch", "Users of a project's directory as they are and change"}
	OpWatchOrganizationUsers       = Operation{"watch-organization-users", "GET", "/v1/organizations/{organization}/directories/{directory}/users/watch", "Users of an organization's directory as they are and change"}
	OpWatchWarpgates               = Operation{"watch-warpgates", "GET", "/v1/organizations/{organization}/projects/{project}/environments/{environment}/warpgates/watch", "Warpgates and their status as they are and change"}
	OpWatchOrganizationDirectories = Operation{"watch-organization-directories", "GET", "/v1/organizations/{organization}/directories/watch", "Directories of an organization as they are and change"}
)

// Operations lists every operation of the API.
func Operations() []Operation {
	return []Operation{
		OpBootstrap, OpSelf, OpListOrganizations, OpCreateOrganization, OpGetOrganization,
		OpUpdateOrganization, OpDeleteOrganization, OpListProjects, OpCreateProject, OpGetProject,
		OpUpdateProject, OpDeleteProject, OpApplyProject, OpExportProject, OpListEnvironments, OpCreateEnvironment, OpGetEnvironment,
		OpUpdateEnvironment, OpDeleteEnvironment, OpListRoutes, OpReplaceRoutes, OpCreateRoute,
		OpListWebhooks, OpCreateWebhook, OpGetWebhook, OpUpdateWebhook, OpDeleteWebhook, OpSetWebhookSecret,
		OpGetRoute, OpUpdateRoute, OpDeleteRoute, OpListServiceAccounts, OpCreateServiceAccount,
		OpGetServiceAccount, OpDeleteServiceAccount, OpListWarpgates, OpGetWarpgate, OpDeleteWarpgate,
		OpCreateEnrolmentToken, OpRegisterWarpgate, OpRenewWarpgate, OpWarpgateTargets, OpListEdges, OpGetEdge, OpDeleteEdge,
		OpCreateJoinToken, OpEnrolEdge, OpRenewEdge, OpPublicCertificate, OpEdgeReport, OpEdgeRevocations,
		OpEdgePage, OpEdgeRefresh, OpEdgeLogout,
		OpEdgeStream, OpShowKeys, OpProposeKeys, OpInstallKeys, OpRotateSealKeys, OpBackup,
		OpListDirectories, OpCreateDirectory, OpGetDirectory, OpUpdateDirectory, OpDeleteDirectory,
		OpListOrganizationDirectories, OpCreateOrganizationDirectory, OpGetOrganizationDirectory, OpUpdateOrganizationDirectory, OpDeleteOrganizationDirectory,
		OpGetLogo, OpSetLogo, OpDeleteLogo, OpGetOrganizationLogo, OpSetOrganizationLogo, OpDeleteOrganizationLogo,
		OpListTokens, OpCreateToken, OpGetToken, OpDeleteToken, OpEndLogins,
		OpCreateLoginLink, OpCreatePersonLoginLink, OpListOperators, OpCreateOperator, OpGetOperator, OpDeleteOperator,
		OpDrainWarpgate, OpUndrainWarpgate,
		OpUpdateServiceAccount, OpRotateServiceAccount,
		OpListMembers, OpGetMember, OpUpdateMember, OpDeleteMember,
		OpListInvitations, OpCreateInvitation, OpGetInvitation, OpDeleteInvitation, OpRedeemInvitation,
		OpWatchProjects, OpWatchEnvironments, OpWatchRoutes, OpWatchServiceAccounts, OpWatchMembers, OpWatchDirectories, OpWatchOrganizationDirectories,
		OpWatchUsers, OpWatchOrganizationUsers, OpWatchWarpgates,
		OpListAudit, OpWatchAudit, OpListInstallationAudit, OpWatchInstallationAudit,
		OpListUsers, OpCreateUser, OpGetUser, OpUpdateUser, OpDeleteUser, OpGetLogins,
		OpListOrganizationUsers, OpCreateOrganizationUser, OpGetOrganizationUser, OpUpdateOrganizationUser, OpDeleteOrganizationUser, OpGetOrganizationLogins,
		OpInviteUser, OpResetUser, OpGetUserSessions, OpEndUserSessions, OpEndUserSession,
		OpInviteOrganizationUser, OpResetOrganizationUser, OpGetOrganizationUserSessions, OpEndOrganizationUserSessions, OpEndOrganizationUserSession,
	}
}

// Creates reports whether the operation must not happen twice, because it makes something
// new, and therefore takes an Idempotency-Key.
func (o Operation) Creates() bool {
	return strings.HasPrefix(o.ID, "create-") || o.ID == OpRedeemInvitation.ID || o.ID == OpRotateServiceAccount.ID
}

// Lists reports whether the operation answers page by page.
func (o Operation) Lists() bool { return strings.HasPrefix(o.ID, "list-") && o.ID != OpListRoutes.ID }

// Parameters names the parameters of the query, without those of paging.
func (o Operation) Parameters() []string {
	switch o.ID {
	case OpListUsers.ID, OpListOrganizationUsers.ID:
		return []string{"filter"}
	case OpListAudit.ID, OpListInstallationAudit.ID:
		return []string{"actor", "operation", "target", "outcome", "since", "until", "order"}
	case OpWatchAudit.ID, OpWatchInstallationAudit.ID:
		return []string{"actor", "operation", "target", "outcome"}
	}
	return nil
}

// Params names the parameters of the path, in order.
func (o Operation) Params() []string {
	var out []string
	for rest := o.Path; ; {
		open, end := strings.IndexByte(rest, '{'), strings.IndexByte(rest, '}')
		if open < 0 || end < open {
			return out
		}
		out = append(out, rest[open+1:end])
		rest = rest[end+1:]
	}
}

// Expand fills the parameters of the path, in order, escaped.
func (o Operation) Expand(params ...string) string {
	var b strings.Builder
	rest := o.Path
	for _, p := range params {
		open := strings.IndexByte(rest, '{')
		end := strings.IndexByte(rest, '}')
		if open < 0 || end < open {
			break
		}
		b.WriteString(rest[:open])
		b.WriteString(url.PathEscape(p))
		rest = rest[end+1:]
	}
	b.WriteString(rest)
	return b.String()
}
