package openapi

import (
	"cmp"
	"strings"

	"github.com/mezusphere/mezu/api"
)

// tags say what each group of operations is about.
func tags() map[string]string {
	return map[string]string{
		"audit":            "Who did what, when and from where. Each change has one record, which is committed with it; a refused attempt has one too.",
		"backup":           "The whole installation as one encrypted file.",
		"bootstrap":        "How a new installation gets its first operator, and one who is locked out comes in again.",
		"directories":      "Pools of end users, of a project or of an organization: who may sign up, what passwords and sessions are like, how pages look.",
		"edges":            "The public nodes of the data plane. Operators list, show and remove them; everything else here is what edges themselves call.",
		"enrolment tokens": "Secrets by which one Warpgate registers without a key.",
		"environments":     "Deployment targets of a project, each with its own public endpoint, routes and switch.",
		"invitations":      "How people become members of an organization.",
		"join tokens":      "Secrets by which one edge enrols.",
		"keys":             "The keys by which the installation signs and seals. They themselves never leave it.",
		"logins":           "Attempts of end users to log in, and logins of programs on behalf of a person.",
		"members":          "Who works in an organization, and in which role.",
		"operators":        "Who runs the installation. Operators read no tenant's data.",
		"organizations":    "The top of everything: an organization has members, projects and directories of its own.",
		"persons":          "What operators do for a person who can't log in.",
		"projects":         "Services or applications of an organization: each groups environments, service accounts and directories.",
		"revocations":      "What edges have kept of revocations that a restored control plane doesn't know.",
		"routes":           "The rules of an environment: which requests go where, and who may make them.",
		"self":             "Who the caller is.",
		"service accounts": "Credentials of machines, each with explicit permissions in one project.",
		"sessions":         "Logins of end users that go on.",
		"targets":          "Where Warpgates say that they send requests.",
		"tokens":           "A person's own bearer tokens.",
		"users":            "Accounts of end users in a directory.",
		"warpgates":        "The connectors beside workloads. They register themselves.",
	}
}

// prose is what a reader should know of an operation beside its summary. What is true of the
// directories of a project is of those of an organization.
func prose(op api.Operation) string {
	return cmp.Or(details()[op.ID], details()[strings.Replace(op.ID, "-organization-", "-", 1)])
}

func details() map[string]string {
	const watch = "Begins with a `put` for each record, then `synced`, then changes as they come."
	return map[string]string{
		api.OpBootstrap.ID:              "Makes the first operator, or lets one in again by a code of `mezusphere operator reset`. The code works once. Without an `email` nobody can invite a new operator.",
		api.OpSelf.ID:                   "Tells a person their organizations and what the token allows in each, and a service account its project.",
		api.OpCreateToken.ID:            "Without `permissions` the token may do all that its person may; it lasts 30 days unless `expires_at` says otherwise. A restricted token makes none that may do more, or lives longer. A person has at most 100.",
		api.OpDeleteToken.ID:            "The token ends at once.",
		api.OpEndLogins.ID:              "Such logins are those of `mezu login`. Their tokens are not among those that the list of tokens has.",
		api.OpCreateLoginLink.ID:        "Good for ten minutes, once, at the control plane's own address. It ends the link before. A restricted token makes none.",
		api.OpCreatePersonLoginLink.ID:  "Good for ten minutes, once. Of a person who has a password it is a conflict, unless the installation sends no mail.",
		api.OpCreateOperator.ID:         "Names a person whom the installation knows, by `person` or `email`.",
		api.OpDeleteOperator.ID:         "The last operator can't be removed (conflict).",
		api.OpListOrganizations.ID:      "Those of which the caller is a member.",
		api.OpCreateOrganization.ID:     "The caller becomes its owner. Operators may; members too, where the installation is started with `--founders members`.",
		api.OpDeleteOrganization.ID:     "Refused (conflict) as long as it has projects or directories.",
		api.OpUpdateMember.ID:           "Nobody gives or takes a role that may do more than their own. The last owner stays owner (conflict).",
		api.OpDeleteMember.ID:           "Everybody may end their own membership, but for the last owner (conflict). Warpgates that came in by the member's enrolment tokens are cut.",
		api.OpCreateInvitation.ID:       "Valid for 7 days and for one person. The invited person gets a mail, if the installation sends mail. At most 200 are open in an organization.",
		api.OpDeleteInvitation.ID:       "The code opens nothing any more.",
		api.OpRedeemInvitation.ID:       "With a person's token that person joins, if the address is theirs. Without one, a new person is made and gets a `token`, unless somebody has the address. Whatever is wrong with code or address is the same 401.",
		api.OpDeleteProject.ID:          "Refused (conflict) as long as it has environments or directories.",
		api.OpApplyProject.ID:           "Takes effect at once or not at all. What the manifest names becomes exactly as it says; what it doesn't name stays, or goes with `prune`. With `dry_run` it tells what it would change. Each thing that changes needs its own permission.",
		api.OpExportProject.ID:          "Applied again, it changes nothing.",
		api.OpCreateEnvironment.ID:      "Its endpoint is chosen here, from the three names, and never changes.",
		api.OpUpdateEnvironment.ID:      "`enabled` is the switch: a disabled environment answers 503 at every edge within seconds.",
		api.OpDeleteEnvironment.ID:      "Its routes go with it, and its Warpgates are cut. The endpoint is kept for its organization for 30 days.",
		api.OpListRoutes.ID:             "All of them in one answer, with the position of the bundle that has them and which edges and Warpgates run it.",
		api.OpReplaceRoutes.ID:          "Takes effect at once or not at all. A route keeps its id if its name is the same or, without a name, its match. `If-Match` takes the `revision` of the list.",
		api.OpCreateRoute.ID:            "`warnings` name fields that this version stores and doesn't enforce: such a route answers 503 until one does.",
		api.OpUpdateRoute.ID:            "A route has one of `exact`, `prefix` and `regexp`: to change the kind of match, take the old one away with null.",
		api.OpCreateServiceAccount.ID:   "Nobody gives an account a permission that they lack.",
		api.OpUpdateServiceAccount.ID:   "A permission that is taken away is gone at the next call. Warpgates that the account let in go on.",
		api.OpRotateServiceAccount.ID:   "The key before stays valid for `overlap`. With `0s` every earlier key ends at once: that is how a leaked key is revoked. While an overlap lasts, another rotation is a conflict, unless it ends them. Needs every permission of the account, whose key it gives.",
		api.OpDeleteServiceAccount.ID:   "Warpgates that came in by its key are cut.",
		api.OpUpdateDirectory.ID:        "A change of `session` or `password` is about later logins and passwords.",
		api.OpDeleteDirectory.ID:        "Refused (conflict) otherwise.",
		api.OpSetLogo.ID:                "At most 256 KiB and 1,024×1,024 pixels. Kept is a PNG that is made of the pixels. `If-Match` takes the directory's revision.",
		api.OpDeleteLogo.ID:             "`If-Match` takes the directory's revision.",
		api.OpListUsers.ID:              "A page costs the same in a directory of a million, with a filter too.",
		api.OpCreateUser.ID:             "With `invite` the user is `inactive` and is mailed a link with which to choose a password within 7 days.",
		api.OpUpdateUser.ID:             "A status other than `active`, and the loss of a role, end the user's sessions.",
		api.OpGetLogins.ID:              "The last 50 attempts, with their outcome.",
		api.OpInviteUser.ID:             "The link before ends. A mailbox gets five of these mails an hour.",
		api.OpResetUser.ID:              "The link is good for 30 minutes. It also ends what wrong attempts have done to the account.",
		api.OpGetUserSessions.ID:        "At every edge, whichever it was begun at.",
		api.OpEndUserSessions.ID:        "Edges get a revocation with the change. `If-Match` takes the user's revision.",
		api.OpEndUserSession.ID:         "Edges get a revocation with the change. `If-Match` takes the user's revision.",
		api.OpListWarpgates.ID:          "Their status is true within 15 s.",
		api.OpDeleteWarpgate.ID:         "Its certificate is revoked and its tunnels are cut.",
		api.OpDrainWarpgate.ID:          "No edge sends it a new request from then on; requests under way end by themselves. It stays so until it is undrained, also when it restarts. At most 1,000 of an environment.",
		api.OpUndrainWarpgate.ID:        "It takes requests as before it was drained.",
		api.OpCreateEnrolmentToken.ID:   "Good for ten minutes, once, for the key pair that the body names.",
		api.OpRegisterWarpgate.ID:       "The answer has all that a Warpgate needs to serve. With the id of an earlier registration and the same key pair it is the same Warpgate again.",
		api.OpRenewWarpgate.ID:          "Certificates last seven days and are renewed daily.",
		api.OpWarpgateTargets.ID:        "At its start and when they change, at most once in two seconds. What a Warpgate forwards it decides alone: this is for who asks what it would do.",
		api.OpDeleteEdge.ID:             "Warpgates leave it, and its certificate is refused.",
		api.OpCreateJoinToken.ID:        "Good for ten minutes, once.",
		api.OpEnrolEdge.ID:              "The answer has the edge's certificate and the trust root that it pins.",
		api.OpRenewEdge.ID:              "Certificates last seven days and are renewed daily.",
		api.OpPublicCertificate.ID:      "For installations without a public certificate authority, such as `mezu dev`.",
		api.OpEdgeReport.ID:             "Every few seconds, and when something changes.",
		api.OpEdgeRevocations.ID:        "After a restore from a backup that is older than the revocations.",
		api.OpEdgePage.ID:               "Login, sign-up and the like, which the control plane makes and the edge hands on.",
		api.OpEdgeRefresh.ID:            "If the session has ended, the refusal is a 401 whose `field` is `grant`.",
		api.OpEdgeLogout.ID:             "Those that are no valid grants are passed over.",
		api.OpEdgeStream.ID:             "Everything after `Last-Event-ID` that is still current, then `synced`, then changes as they come.",
		api.OpShowKeys.ID:               "Nothing in it is secret.",
		api.OpProposeKeys.ID:            "`mezusphere keys` does what follows. A proposal waits for ten minutes.",
		api.OpInstallKeys.ID:            "What was signed must be what was proposed.",
		api.OpRotateSealKeys.ID:         "The answer says how many old keys are still needed.",
		api.OpBackup.ID:                 "One at a time. A body that ends with the connection is no backup.",
		api.OpListAudit.ID:              "Owners and admins see their organization's, service accounts with the permission what was done in their project. A page may be short, even empty, and still have a next one. `damaged` names what of the archive is missing.",
		api.OpWatchAudit.ID:             "From now on; with `Last-Event-ID` from a minute before that record, so that some may come twice: tell them by their `id`.",
		api.OpListInstallationAudit.ID:  "What belongs to no organization. A page may be short, even empty, and still have a next one.",
		api.OpWatchInstallationAudit.ID: "From now on; with `Last-Event-ID` from a minute before that record, so that some may come twice: tell them by their `id`.",
		api.OpWatchProjects.ID:          watch,
		api.OpWatchEnvironments.ID:      watch,
		api.OpWatchRoutes.ID:            watch,
		api.OpWatchServiceAccounts.ID:   watch,
		api.OpWatchMembers.ID:           watch,
		api.OpWatchDirectories.ID:       watch,
		api.OpWatchUsers.ID:             watch + " All users of the directory; a login is a `put`.",
		api.OpWatchWarpgates.ID:         watch + " A `put` comes when status, address, edges or bundle of one change.",
	}
}
