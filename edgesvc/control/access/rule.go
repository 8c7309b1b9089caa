package access

import (
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// audience is who may call an operation at all. On which records they may do so is decided
// at the data.
type audience uint8

const (
	public         audience = iota + 1 // anyone; the body holds the credential
	known                              // persons and service accounts, about themselves
	persons                            // persons, each seeing their own
	operators                          // persons who run the installation
	tenants                            // members by their role, service accounts by their verbs in their project
	organizational                     // members by what their role may do to the organization as a whole
	joiners                            // the holder of a join token
	registrants                        // service accounts with the verb, holders of an enrolment token
	warpgates                          // Warpgates by certificate
	edges                              // edges by certificate
)

// rule is what one operation asks of its caller.
type rule struct {
	audience   audience
	Permission mezu.Permission
}

// rules is the one table of who may call which operation. An operation that is not in it
// can't be served.
var rules = map[string]rule{
	api.OpBootstrap.ID: {public, ""},
	api.OpSelf.ID:      {known, ""},

	api.OpListTokens.ID:  {persons, mezu.PermTokensRead},
	api.OpCreateToken.ID: {persons, mezu.PermTokensWrite},
	api.OpGetToken.ID:    {persons, mezu.PermTokensRead},
	api.OpDeleteToken.ID: {persons, mezu.PermTokensWrite},
	api.OpEndLogins.ID:   {persons, mezu.PermTokensWrite},

	// Of a person who may log in by themselves, operators make none.
	api.OpCreateLoginLink.ID:       {persons, mezu.PermTokensWrite},
	api.OpCreatePersonLoginLink.ID: {operators, mezu.PermOperatorsWrite},

	api.OpListOperators.ID:  {operators, mezu.PermOperatorsRead},
	api.OpCreateOperator.ID: {operators, mezu.PermOperatorsWrite},
	api.OpGetOperator.ID:    {operators, mezu.PermOperatorsRead},
	api.OpDeleteOperator.ID: {operators, mezu.PermOperatorsWrite},

	api.OpListOrganizations.ID:  {persons, mezu.PermOrganizationsRead},
	api.OpCreateOrganization.ID: {persons, mezu.PermOrganizationsWrite}, // operators, or members too: Config.MembersMayCreateOrganizations of package team
	api.OpGetOrganization.ID:    {tenants, mezu.PermOrganizationsRead},
	api.OpUpdateOrganization.ID: {tenants, mezu.PermOrganizationsWrite},
	api.OpDeleteOrganization.ID: {tenants, mezu.PermOrganizationsDelete},

	api.OpListMembers.ID:  {tenants, mezu.PermMembersRead},
	api.OpGetMember.ID:    {tenants, mezu.PermMembersRead},
	api.OpUpdateMember.ID: {tenants, mezu.PermMembersWrite},
	api.OpDeleteMember.ID: {tenants, mezu.PermMembersWrite}, // or oneself

	api.OpListInvitations.ID:  {tenants, mezu.PermMembersRead},
	api.OpCreateInvitation.ID: {tenants, mezu.PermMembersWrite},
	api.OpGetInvitation.ID:    {tenants, mezu.PermMembersRead},
	api.OpDeleteInvitation.ID: {tenants, mezu.PermMembersWrite},
	api.OpRedeemInvitation.ID: {public, ""},

	// Whoever may list may watch.
	api.OpWatchProjects.ID:                {tenants, mezu.PermProjectsRead},
	api.OpWatchEnvironments.ID:            {tenants, mezu.PermEnvironmentsRead},
	api.OpWatchRoutes.ID:                  {tenants, mezu.PermRoutesRead},
	api.OpWatchServiceAccounts.ID:         {tenants, mezu.PermServiceAccountsRead},
	api.OpWatchMembers.ID:                 {tenants, mezu.PermMembersRead},
	api.OpWatchDirectories.ID:             {tenants, mezu.PermDirectoriesRead},
	api.OpWatchOrganizationDirectories.ID: {organizational, mezu.PermDirectoriesRead},
	api.OpWatchUsers.ID:                   {tenants, mezu.PermUsersRead},
	api.OpWatchOrganizationUsers.ID:       {organizational, mezu.PermUsersRead},
	api.OpWatchWarpgates.ID:               {tenants, mezu.PermWarpgatesRead},

	api.OpListProjects.ID:  {tenants, mezu.PermProjectsRead},
	api.OpCreateProject.ID: {tenants, mezu.PermProjectsWrite},
	api.OpGetProject.ID:    {tenants, mezu.PermProjectsRead},
	api.OpUpdateProject.ID: {tenants, mezu.PermProjectsWrite},
	api.OpDeleteProject.ID: {tenants, mezu.PermProjectsWrite},

	// Everything that an apply writes needs its own verb: package config asks for them.
	api.OpApplyProject.ID:  {tenants, mezu.PermProjectsRead},
	api.OpExportProject.ID: {tenants, mezu.PermProjectsRead},

	api.OpListEnvironments.ID:  {tenants, mezu.PermEnvironmentsRead},
	api.OpCreateEnvironment.ID: {tenants, mezu.PermEnvironmentsWrite},
	api.OpGetEnvironment.ID:    {tenants, mezu.PermEnvironmentsRead},
	api.OpUpdateEnvironment.ID: {tenants, mezu.PermEnvironmentsWrite},
	api.OpDeleteEnvironment.ID: {tenants, mezu.PermEnvironmentsWrite},

	api.OpListRoutes.ID:    {tenants, mezu.PermRoutesRead},
	api.OpReplaceRoutes.ID: {tenants, mezu.PermRoutesWrite},
	api.OpCreateRoute.ID:   {tenants, mezu.PermRoutesWrite},
	api.OpGetRoute.ID:      {tenants, mezu.PermRoutesRead},
	api.OpUpdateRoute.ID:   {tenants, mezu.PermRoutesWrite},
	api.OpDeleteRoute.ID:   {tenants, mezu.PermRoutesWrite},

	api.OpListWebhooks.ID:     {tenants, mezu.PermWebhooksRead},
	api.OpCreateWebhook.ID:    {tenants, mezu.PermWebhooksWrite},
	api.OpGetWebhook.ID:       {tenants, mezu.PermWebhooksRead},
	api.OpUpdateWebhook.ID:    {tenants, mezu.PermWebhooksWrite},
	api.OpDeleteWebhook.ID:    {tenants, mezu.PermWebhooksWrite},
	api.OpSetWebhookSecret.ID: {tenants, mezu.PermWebhooksWrite},

	api.OpListServiceAccounts.ID:  {tenants, mezu.PermServiceAccountsRead},
	api.OpCreateServiceAccount.ID: {tenants, mezu.PermServiceAccountsWrite},
	api.OpGetServiceAccount.ID:    {tenants, mezu.PermServiceAccountsRead},
	api.OpUpdateServiceAccount.ID: {tenants, mezu.PermServiceAccountsWrite},
	api.OpRotateServiceAccount.ID: {tenants, mezu.PermServiceAccountsWrite},
	api.OpDeleteServiceAccount.ID: {tenants, mezu.PermServiceAccountsWrite},

	api.OpListDirectories.ID: {tenants, mezu.PermDirectoriesRead},
	api.OpCreateDirectory.ID: {tenants, mezu.PermDirectoriesWrite},
	api.OpGetDirectory.ID:    {tenants, mezu.PermDirectoriesRead},
	api.OpUpdateDirectory.ID: {tenants, mezu.PermDirectoriesWrite},
	api.OpDeleteDirectory.ID: {tenants, mezu.PermDirectoriesWrite},

	api.OpListOrganizationDirectories.ID: {organizational, mezu.PermDirectoriesRead},
	api.OpCreateOrganizationDirectory.ID: {organizational, mezu.PermDirectoriesWrite},
	api.OpGetOrganizationDirectory.ID:    {organizational, mezu.PermDirectoriesRead},
	api.OpUpdateOrganizationDirectory.ID: {organizational, mezu.PermDirectoriesWrite},
	api.OpDeleteOrganizationDirectory.ID: {organizational, mezu.PermDirectoriesWrite},

	api.OpGetLogo.ID:                {tenants, mezu.PermDirectoriesRead},
	api.OpSetLogo.ID:                {tenants, mezu.PermDirectoriesWrite},
	api.OpDeleteLogo.ID:             {tenants, mezu.PermDirectoriesWrite},
	api.OpGetOrganizationLogo.ID:    {organizational, mezu.PermDirectoriesRead},
	api.OpSetOrganizationLogo.ID:    {organizational, mezu.PermDirectoriesWrite},
	api.OpDeleteOrganizationLogo.ID: {organizational, mezu.PermDirectoriesWrite},

	api.OpListUsers.ID:  {tenants, mezu.PermUsersRead},
	api.OpCreateUser.ID: {tenants, mezu.PermUsersWrite},
	api.OpGetUser.ID:    {tenants, mezu.PermUsersRead},
	api.OpUpdateUser.ID: {tenants, mezu.PermUsersWrite},
	api.OpDeleteUser.ID: {tenants, mezu.PermUsersWrite},
	api.OpGetLogins.ID:  {tenants, mezu.PermUsersRead},

	api.OpListOrganizationUsers.ID:  {organizational, mezu.PermUsersRead},
	api.OpCreateOrganizationUser.ID: {organizational, mezu.PermUsersWrite},
	api.OpGetOrganizationUser.ID:    {organizational, mezu.PermUsersRead},
	api.OpUpdateOrganizationUser.ID: {organizational, mezu.PermUsersWrite},
	api.OpDeleteOrganizationUser.ID: {organizational, mezu.PermUsersWrite},
	api.OpGetOrganizationLogins.ID:  {organizational, mezu.PermUsersRead},

	api.OpInviteUser.ID:      {tenants, mezu.PermUsersWrite},
	api.OpResetUser.ID:       {tenants, mezu.PermUsersWrite},
	api.OpGetUserSessions.ID: {tenants, mezu.PermUsersRead},
	api.OpEndUserSessions.ID: {tenants, mezu.PermUsersWrite},
	api.OpEndUserSession.ID:  {tenants, mezu.PermUsersWrite},

	api.OpInviteOrganizationUser.ID:      {organizational, mezu.PermUsersWrite},
	api.OpResetOrganizationUser.ID:       {organizational, mezu.PermUsersWrite},
	api.OpGetOrganizationUserSessions.ID: {organizational, mezu.PermUsersRead},
	api.OpEndOrganizationUserSessions.ID: {organizational, mezu.PermUsersWrite},
	api.OpEndOrganizationUserSession.ID:  {organizational, mezu.PermUsersWrite},

	api.OpListWarpgates.ID:        {tenants, mezu.PermWarpgatesRead},
	api.OpGetWarpgate.ID:          {tenants, mezu.PermWarpgatesRead},
	api.OpDeleteWarpgate.ID:       {tenants, mezu.PermWarpgatesWrite},
	api.OpDrainWarpgate.ID:        {tenants, mezu.PermWarpgatesWrite},
	api.OpUndrainWarpgate.ID:      {tenants, mezu.PermWarpgatesWrite},
	api.OpCreateEnrolmentToken.ID: {tenants, mezu.PermWarpgateRegister},

	api.OpRegisterWarpgate.ID: {registrants, mezu.PermWarpgateRegister},
	api.OpRenewWarpgate.ID:    {warpgates, ""},
	api.OpWarpgateTargets.ID:  {warpgates, ""},

	api.OpListEdges.ID:         {operators, mezu.PermEdgesRead},
	api.OpGetEdge.ID:           {operators, mezu.PermEdgesRead},
	api.OpDeleteEdge.ID:        {operators, mezu.PermEdgesWrite},
	api.OpCreateJoinToken.ID:   {operators, mezu.PermEdgesWrite},
	api.OpEnrolEdge.ID:         {joiners, ""},
	api.OpRenewEdge.ID:         {edges, ""},
	api.OpPublicCertificate.ID: {edges, ""},
	api.OpEdgeReport.ID:        {edges, ""},
	api.OpEdgePage.ID:          {edges, ""},
	api.OpEdgeRefresh.ID:       {edges, ""},
	api.OpEdgeLogout.ID:        {edges, ""},
	api.OpEdgeRevocations.ID:   {edges, ""},
	api.OpEdgeStream.ID:        {edges, ""},

	api.OpListAudit.ID:              {tenants, mezu.PermAuditRead},
	api.OpWatchAudit.ID:             {tenants, mezu.PermAuditRead},
	api.OpListInstallationAudit.ID:  {operators, mezu.PermAuditRead},
	api.OpWatchInstallationAudit.ID: {operators, mezu.PermAuditRead},
	api.OpShowKeys.ID:               {operators, mezu.PermKeysRead},
	api.OpProposeKeys.ID:            {operators, mezu.PermKeysWrite},
	api.OpInstallKeys.ID:            {operators, mezu.PermKeysWrite},
	api.OpRotateSealKeys.ID:         {operators, mezu.PermKeysWrite},
	api.OpBackup.ID:                 {operators, mezu.PermBackup},
}

// rolePermissions is what each role may do in its organization and its projects.
// Only owners can delete it. Therefore nobody else can make an owner, because whoever gives a
// role must have all of its verbs.
var rolePermissions = map[mezu.Role][]mezu.Permission{
	mezu.RoleOwner:     ownerPermissions,
	mezu.RoleAdmin:     adminPermissions,
	mezu.RoleDeveloper: developerPermissions,
	mezu.RoleViewer:    viewerPermissions,
	mezu.RoleBilling:   {mezu.PermOrganizationsRead},
}

// organizationalPermissions is what each role may do with things that belong to the
// organization itself and not to a project. A developer may read them.
var organizationalPermissions = map[mezu.Role][]mezu.Permission{
	mezu.RoleOwner:     ownerPermissions,
	mezu.RoleAdmin:     adminPermissions,
	mezu.RoleDeveloper: viewerPermissions,
	mezu.RoleViewer:    viewerPermissions,
}

var (
	viewerPermissions = []mezu.Permission{
		mezu.PermOrganizationsRead, mezu.PermMembersRead, mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead,
		mezu.PermWebhooksRead, mezu.PermServiceAccountsRead, mezu.PermWarpgatesRead, mezu.PermDirectoriesRead, mezu.PermUsersRead,
	}
	developerPermissions = slices.Concat(viewerPermissions, []mezu.Permission{
		mezu.PermWarpgateRegister, mezu.PermProjectsWrite, mezu.PermEnvironmentsWrite, mezu.PermRoutesWrite,
		mezu.PermWebhooksWrite, mezu.PermServiceAccountsWrite, mezu.PermWarpgatesWrite, mezu.PermDirectoriesWrite, mezu.PermUsersWrite,
	})
	adminPermissions    = slices.Concat(developerPermissions, []mezu.Permission{mezu.PermOrganizationsWrite, mezu.PermMembersWrite, mezu.PermAuditRead})
	ownerPermissions    = slices.Concat(adminPermissions, []mezu.Permission{mezu.PermOrganizationsDelete})
	operatorPermissions = []mezu.Permission{
		mezu.PermOperatorsRead, mezu.PermOperatorsWrite, mezu.PermEdgesRead, mezu.PermEdgesWrite, mezu.PermAuditRead,
		mezu.PermKeysRead, mezu.PermKeysWrite, mezu.PermBackup,
	}
)

// CheckRules reports an operation that has no rule: nobody could decide who may call it.
func CheckRules() error {
	for _, op := range api.Operations() {
		if _, ok := rules[op.ID]; !ok {
			return mezu.Errorf(mezu.CodeInternal, "operation %s has no rule of authority", op.ID)
		}
	}
	return nil
}

// PermissionsOf is what a role may do in its organization and its projects.
func PermissionsOf(role mezu.Role) []mezu.Permission { return rolePermissions[role] }

// Lacks is the refusal of a caller who lacks a verb that an operation needs.
func Lacks(op api.Operation, verb mezu.Permission, c Caller) error {
	return Forbidden(op, rule{tenants, verb}, c)
}

// Admit decides whether a caller may call an operation at all, before anything of
// the call is read. The operation itself decides again, at the data.
func (s *Access) Admit(op api.Operation, c Caller) error {
	_, err := Admit(op, c)
	return err
}

// Admit decides whether this kind of caller may call the operation at all. It is
// the first step of every operation.
func Admit(op api.Operation, c Caller) (rule, error) {
	r, ok := rules[op.ID]
	if !ok {
		return r, mezu.Errorf(mezu.CodeInternal, "operation %s has no rule of authority", op.ID)
	}
	if r.audience == public {
		return r, nil
	}
	if c.Kind == Anonymous || c.Kind == "" {
		return r, c.refusal()
	}
	ok = false
	switch r.audience {
	case known:
		ok = c.Kind == Member || c.Kind == ServiceAccount
	case persons:
		ok = c.Kind == Member && c.Holds(r.Permission)
	case operators:
		ok = c.Kind == Member && c.Operator && slices.Contains(operatorPermissions, r.Permission) && c.Holds(r.Permission)
	case tenants:
		ok = c.Kind == Member || c.Kind == ServiceAccount
	case organizational:
		ok = c.Kind == Member
	case joiners:
		ok = c.Kind == Joiner
	case registrants:
		ok = c.Kind == Enrolment || c.Kind == ServiceAccount && slices.Contains(c.Permissions, r.Permission)
	case warpgates:
		ok = c.Kind == Warpgate
	case edges:
		ok = c.Kind == Edge
	}
	if !ok {
		return r, Forbidden(op, r, c)
	}
	return r, nil
}

// Forbidden says what the caller lacks.
func Forbidden(op api.Operation, r rule, c Caller) error {
	e := &mezu.Error{Code: mezu.CodeForbidden}
	switch r.audience {
	case operators:
		e.Detail, e.Hint = "only operators of this installation may do this", "use an operator's token"
	case joiners:
		e.Detail, e.Hint = "an edge enrols with a join token", "make one with `mezusphere join-token create`"
	case warpgates:
		e.Detail, e.Hint = "only a Warpgate's certificate opens this", "register the Warpgate first"
	case edges:
		e.Detail, e.Hint = "only an edge's certificate opens this", "enrol the edge first"
	default:
		e.Detail = "this " + c.noun() + " may not do this"
		if r.Permission != "" {
			e.Detail = "this " + c.noun() + " lacks the permission " + string(r.Permission)
			e.Hint = "ask an owner of the organization for it"
			if c.Kind == ServiceAccount {
				e.Hint = "use the key of a service account that has it"
			}
		}
	}
	return e
}

// Credential is what proves who calls.
type Credential string

// Credentials.
const (
	NoCredential     Credential = "none"
	BearerCredential Credential = "bearer"
	PeerCredential   Credential = "peer" // a client certificate
)

// Needs says who may call an operation, in a sentence for readers of the API's document, and
// by which credentials.
func Needs(op api.Operation) (string, []Credential) {
	r, by := rules[op.ID], []Credential{BearerCredential}
	verb := "the permission `" + string(r.Permission) + "`"
	switch r.audience {
	case public:
		return "Anybody may call it: the body has what lets them.", []Credential{NoCredential, BearerCredential}
	case known:
		return "For persons and service accounts.", by
	case persons:
		return "For persons, with their own records. A token that is restricted needs " + verb + ".", by
	case operators:
		return "For operators of the installation. A token that is restricted needs " + verb + ".", by
	case tenants:
		return "Needs " + verb + ", which a member has by role and a service account in its project.", by
	case organizational:
		return "Needs " + verb + " in the organization itself, which a member has by role. No service account has it.", by
	case joiners:
		return "For the holder of a join token.", by
	case registrants:
		return "For service accounts with " + verb + ", and for holders of an enrolment token.", by
	case warpgates:
		return "For Warpgates, by their certificate.", []Credential{PeerCredential}
	case edges:
		return "For edges, by their certificate.", []Credential{PeerCredential}
	}
	return "", nil
}
