package own

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// edgesTime is how long the edges may take until they keep visitors out as a run asks. They
	// take milliseconds; one that does not answer counts as connected for longer than this.
	edgesTime = 10 * time.Second
	// edgesPoll lies between two looks at them.
	edgesPoll = 100 * time.Millisecond
)

// inForce waits until every edge that is connected runs the routes of an environment: until then
// it lets in whom the run keeps out.
func (o *Owner) inForce(ctx context.Context, p *Site) error {
	within := edgesTime
	if said := o.inv.Flags.Timeout; said > 0 {
		within = min(within, said)
	}
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(edgesPoll)
	defer tick.Stop()
	state := p.state
	var from mezu.Position
	var late []string
	for {
		if state == nil {
			now, err := api.Invoke[api.RoutesState](waiting, o.client, api.OpListRoutes, nil, p.Organization, p.Project, p.Name)
			if err != nil && waiting.Err() == nil {
				return err
			}
			if err == nil {
				state = &now
			}
		}
		if state != nil {
			if from.IsZero() {
				from = state.Position // later ones are others' changes
			}
			if late = behind(state.Applied, from); len(late) == 0 {
				return nil
			}
			state = nil
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			who := "the edges do"
			if len(late) > 0 {
				who = terminal.Clean(late[0]) + " does"
			}
			return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: fmt.Sprintf("%s not run the routes of %s yet (%.3g s), and would let everybody in; nothing was opened", who, p.Text(), within.Seconds()),
				Hint: "mezu routes list -e " + p.Name + ", and once more when every edge runs them"}
		}
	}
}

// behind are the edges that have not come to a position.
func behind(applied []api.Applied, to mezu.Position) []string {
	var out []string
	for _, a := range applied {
		if strings.HasPrefix(a.ID, mezu.PrefixEdge) && a.Position.Compare(to) < 0 {
			out = append(out, a.Who())
		}
	}
	slices.Sort(out)
	return out
}
