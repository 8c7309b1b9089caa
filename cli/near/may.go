package near

import (
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// mayList reports whether somebody may list what there is at a path, as far as they know of
// themselves. Who may not is not asked for: the audit log would have a denied attempt that nobody
// made.
func mayList(self api.Self, list api.Operation, params []string) bool {
	noun := strings.ReplaceAll(lastOf(list.Path), "-", "_")
	if noun == "invitations" {
		noun = "members"
	}
	verb := mezu.Permission(noun + ".read")
	may := slices.Contains(self.Permissions, verb)
	switch {
	case self.Organization != "": // a service account, for which there is one project
		return may && len(params) > 1 && params[0] == self.OrganizationName && params[1] == self.ProjectName
	case len(params) == 0:
		ofOperators := verb == mezu.PermOperatorsRead || verb == mezu.PermEdgesRead
		return (may || len(self.Permissions) == 0) && (self.Operator || !ofOperators)
	}
	i := slices.IndexFunc(self.Organizations, func(m api.SelfMember) bool { return m.Organization == params[0] })
	return i >= 0 && slices.Contains(self.Organizations[i].Permissions, verb)
}

// lastOf is the last part of a path.
func lastOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
