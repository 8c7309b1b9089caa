package fleet

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// liveEdge is the one record under an edge's lease. While it exists, the edge counts as
// connected.
type liveEdge struct {
	Applied mezu.Position `json:"applied"`
	Version string        `json:"version,omitempty"`
	// Lease is the lease of the record, so that another control plane can prolong it when
	// it gets the edge's next report.
	Lease store.LeaseID `json:"lease"`
}

// presenceBatch is how many Warpgates one transaction can be about. Each takes two operations.
const presenceBatch = store.MaxOps / 2

// ReportEdge takes an edge's report. It prolongs the edge's lease, and writes the record of a
// Warpgate only if something about it changed.
func (s *Fleet) ReportEdge(ctx context.Context, c access.Caller, in api.EdgeReport) error {
	if _, err := access.Admit(api.OpEdgeReport, c); err != nil {
		return err
	}
	if len(in.Presence) > api.MaxReportPresence {
		return mezu.Invalid("presence", "at most %d in one report", api.MaxReportPresence)
	}
	if err := validateVersion(in.Version); err != nil {
		return err
	}
	if err := s.noteAddresses(ctx, c, in); err != nil {
		return err
	}
	last, err := s.prolongLease(ctx, c.ID, liveEdge{Applied: in.Applied, Version: in.Version})
	if err != nil {
		return err
	}
	if in.Full {
		if err := s.retract(ctx, c.ID, in.Presence, last); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(in.Presence, presenceBatch) {
		if err := s.notePresence(ctx, c.ID, batch); err != nil {
			return err
		}
	}
	return nil
}

// reached is the addresses of an edge.
type reached struct{ tunnel, public string }

// noteAddresses updates an edge that was started on other addresses: its record, and the list
// of edges, by which Warpgates dial.
func (s *Fleet) noteAddresses(ctx context.Context, c access.Caller, in api.EdgeReport) error {
	said := reached{in.TunnelAddress, in.PublicAddress}
	if said == (reached{}) {
		return nil // an edge of an earlier version doesn't report them
	}
	rec, err := s.ownEdge(ctx, c)
	if err != nil {
		return err
	}
	was := rec.Value.Edge
	if said.tunnel != "" && said.tunnel != was.TunnelAddress || said.public != "" && said.public != was.PublicAddress {
		if _, err = s.records.Publish(ctx, access.By(c, api.OpEdgeReport.ID), func(ch *record.Change) error { return s.moveEdge(ctx, ch, c, said) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *Fleet) moveEdge(ctx context.Context, ch *record.Change, c access.Caller, to reached) error {
	rec, err := s.ownEdge(ctx, c)
	if err != nil {
		return err
	}
	e := &rec.Value
	was := e.Edge
	if to.tunnel != "" {
		e.TunnelAddress = to.tunnel
	}
	if to.public != "" {
		e.PublicAddress = to.public
	}
	if err := e.Validate(); err != nil {
		return err
	}
	e.Meta = s.records.Touch(e.Meta, rec.Revision)
	ch.Update(rec.Key, rec.Revision, *e)
	ch.Audit(record.About(record.KindEdge, e.ID, e.Name), was, e.Edge)
	return s.AddEdgeList(ctx, ch, &e.Edge, "")
}

// prolongLease prolongs an edge's lease, and writes its record if that changed. It gives the
// time of the edge's last report before: now, unless the edge had fallen silent.
func (s *Fleet) prolongLease(ctx context.Context, edge string, said liveEdge) (last time.Time, err error) {
	last = s.records.Stamp()
	rec, err := record.Optional[liveEdge](ctx, s.records, keyLive(edge))
	if err != nil {
		return last, err
	}
	if rec.Value.Lease != "" {
		err := s.records.Store.KeepAlive(ctx, rec.Value.Lease)
		if err != nil && !errors.Is(err, store.ErrLeaseExpired) {
			return last, err
		}
		if err == nil {
			said.Lease = rec.Value.Lease
		}
	}
	if said == rec.Value && rec.Revision != 0 {
		return last, nil
	}
	ops := make([]store.Op, 1, 2)
	if said.Lease == "" {
		silent, err := record.Optional[time.Time](ctx, s.records, keySilent(edge))
		if err != nil {
			return last, err
		}
		if silent.Revision != 0 {
			last = silent.Value
			ops = append(ops, store.Op{Key: silent.Key, Delete: true})
		}
		if said.Lease, err = s.records.Store.Grant(ctx, api.EdgeSilence); err != nil {
			return last, err
		}
	}
	value, err := record.Encode(said)
	if err != nil {
		return last, err
	}
	ops[0] = store.Op{Key: keyLive(edge), Value: value, Lease: said.Lease}
	_, err = s.records.Housekeep(ctx, store.Txn{Ops: ops})
	return last, err
}

// retract marks every Warpgate as gone that the edge had before and does not name now. They
// were last there at the time of the edge's last report before.
func (s *Fleet) retract(ctx context.Context, edge string, now []mezu.Presence, last time.Time) error {
	named := make(map[string]bool, len(now))
	for _, p := range now {
		named[p.Warpgate] = true
	}
	return record.Each(ctx, s.records, presenceOf(edge), func(f record.Record[string]) error {
		if named[f.Value] {
			return nil
		}
		held, err := record.Optional[mezu.Presence](ctx, s.records, heldBy(f.Value)+edge)
		if err != nil {
			return err
		}
		// The process that removed the Warpgate was killed and has left this.
		there, err := record.Optional[Warpgate](ctx, s.records, WarpgatesOf(held.Value.Environment)+f.Value)
		if err == nil && there.Revision == 0 {
			err = s.forgetPresence(ctx, edge, f.Value)
		}
		if err != nil || there.Revision == 0 || !held.Value.Connected {
			return err
		}
		held.Value.Connected, held.Value.Since = false, last
		return s.notePresence(ctx, edge, []mezu.Presence{held.Value})
	})
}

// notePresence writes what changed about some Warpgates. A report about a Warpgate that
// doesn't exist, or not in that environment, is dropped.
func (s *Fleet) notePresence(ctx context.Context, edge string, batch []mezu.Presence) error {
	_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		seen := map[string]bool{}
		for _, p := range batch {
			if !plausible(&p) || seen[p.Warpgate] {
				continue
			}
			seen[p.Warpgate] = true
			rec, err := record.Optional[Warpgate](ctx, s.records, WarpgatesOf(p.Environment)+p.Warpgate)
			if err != nil {
				return err
			}
			if rec.Revision == 0 {
				continue
			}
			ch.Require(rec.Key, rec.Revision)
			before, err := record.Optional[mezu.Presence](ctx, s.records, heldBy(p.Warpgate)+edge)
			if err != nil {
				return err
			}
			if !p.Connected {
				p.Since = s.goneSince(before.Value, p.Since)
			}
			if before.Revision != 0 && samePresence(before.Value, p) {
				continue
			}
			ch.Put(heldBy(p.Warpgate)+edge, p)
			ch.Put(presenceOf(edge)+p.Warpgate, p.Warpgate)
		}
		return nil
	})
	return err
}

// goneSince is when a Warpgate that an edge doesn't hold any more was last there. The edge's
// report counts if that time is possible: an edge of an earlier version reports the time when
// the Warpgate had connected.
func (s *Fleet) goneSince(before mezu.Presence, said time.Time) time.Time {
	now := s.records.Stamp()
	switch {
	case said.After(before.Since) && !said.After(now):
		return said
	case before.Connected:
		return now
	}
	return before.Since
}

// samePresence compares without the monotonic parts and locations of times.
func samePresence(a, b mezu.Presence) bool {
	since := a.Since.Equal(b.Since)
	a.Since, b.Since = time.Time{}, time.Time{}
	return since && a == b
}

// plausible checks the form of what an edge reports, and shortens what is too long.
func plausible(p *mezu.Presence) bool {
	if mezu.ValidateID("", mezu.PrefixWarpgate, p.Warpgate) != nil || mezu.ValidateID("", mezu.PrefixEnvironment, p.Environment) != nil {
		return false
	}
	if _, err := netip.ParseAddr(p.Address); err != nil {
		p.Address = ""
	}
	if validateVersion(p.Version) != nil {
		p.Version = ""
	}
	return true
}

// forgetPresence drops what one edge reported of one Warpgate.
func (s *Fleet) forgetPresence(ctx context.Context, edge, warpgate string) error {
	_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		ch.Drop(heldBy(warpgate) + edge)
		ch.Drop(presenceOf(edge) + warpgate)
		return nil
	})
	return err
}

// LiveEdges are the edges that are connected now.
func (s *Fleet) LiveEdges(ctx context.Context) (map[string]liveEdge, error) {
	out := map[string]liveEdge{}
	err := record.Each(ctx, s.records, prefixLive, func(f record.Record[liveEdge]) error {
		out[f.Key[len(prefixLive):]] = f.Value
		return nil
	})
	return out, err
}

// ShownWarpgate adds what edges report.
func (s *Fleet) ShownWarpgate(ctx context.Context, kept Warpgate, live map[string]liveEdge) (mezu.Warpgate, error) {
	w := kept.Warpgate
	if w.Status == mezu.WarpgateRevoked {
		return w, nil
	}
	holding, silent := 0, 0
	err := record.Each(ctx, s.records, heldBy(w.ID), func(f record.Record[mezu.Presence]) error {
		p := f.Value
		edge := f.Key[len(heldBy(w.ID)):]
		if p.Bundle.Compare(w.Bundle) > 0 {
			w.Bundle = p.Bundle
		}
		_, isLive := live[edge]
		switch {
		case p.Connected && isLive:
			holding++
			w.Edges = append(w.Edges, edge)
			w.LastSeenAt = s.records.Stamp()
			if p.Address != "" {
				w.Address = p.Address
			}
			if p.Version != "" {
				w.Version = p.Version
			}
		case p.Connected:
			silent++
			last, err := record.Optional[time.Time](ctx, s.records, keySilent(edge))
			if err != nil {
				return err
			}
			if last.Value.After(w.LastSeenAt) {
				w.LastSeenAt = last.Value
			}
		}
		if p.Since.After(w.LastSeenAt) {
			w.LastSeenAt = p.Since
		}
		return nil
	})
	w.Status, w.Targets = mezu.StatusOf(holding, silent), s.targets(kept.Said, w.Version)
	return w, err
}

// Applied lists the positions that live edges and connected Warpgates run; that of one that has not
// said it yet is zero.
func (s *Fleet) Applied(ctx context.Context, environment string) ([]api.Applied, error) {
	live, err := s.LiveEdges(ctx)
	if err != nil {
		return nil, err
	}
	var out []api.Applied
	names := map[string]string{}
	err = record.Each(ctx, s.records, prefixEdge, func(f record.Record[edge]) error {
		names[f.Value.ID] = f.Value.Name
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, e := range live {
		out = append(out, api.Applied{ID: id, Name: names[id], Position: e.Applied})
	}
	err = record.Each(ctx, s.records, WarpgatesOf(environment), func(f record.Record[Warpgate]) error {
		w, err := s.ShownWarpgate(ctx, f.Value, live)
		if err == nil && w.Status == mezu.WarpgateConnected {
			out = append(out, api.Applied{ID: w.ID, Name: w.Name, Position: w.Bundle})
		}
		return err
	})
	slices.SortFunc(out, func(a, b api.Applied) int { return strings.Compare(a.ID, b.ID) })
	return out, err
}
