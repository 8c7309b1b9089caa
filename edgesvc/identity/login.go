package identity

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// ListLogins shows the last attempts to log in as a user, the newest first.
func (s *Identity) ListLogins(ctx context.Context, c access.Caller, p access.Path) (api.List[mezu.Login], error) {
	out := api.List[mezu.Login]{Items: []mezu.Login{}}
	sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpGetLogins, api.OpGetOrganizationLogins), p)
	if err != nil {
		return out, err
	}
	u, err := s.user(ctx, sc, p)
	if err != nil {
		return out, err
	}
	history, err := record.Optional[[]mezu.Login](ctx, s.records, keyLogins(sc.Directory.Value.ID, u.Value.User.ID))
	out.Items = append(out.Items, history.Value...)
	return out, err
}
