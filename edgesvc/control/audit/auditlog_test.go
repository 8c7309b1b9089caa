package audit_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// muted is a store that, when told so, takes no audit record.
type muted struct {
	store.Store
	mute atomic.Bool
}

func (m *muted) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	for _, op := range txn.Ops {
		if m.mute.Load() && strings.HasPrefix(op.Key, "audit/") {
			return "", store.ErrUnavailable
		}
	}
	return m.Store.Commit(ctx, txn)
}

// A9: what can't be audited is not done: nothing is written, and the caller is told to
// try again. Reads go on.
func TestA9_UnauditedIsRefused(t *testing.T) {
	t.Parallel()
	in := controltest.InstallWithStore(t)
	m := &muted{Store: in.Driver}
	in.Stop()
	in.Driver = m
	in.Start()
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	before := everything(in)
	m.mute.Store(true)
	for _, c := range []struct {
		client *api.Client
		op     api.Operation
		body   any
		params []string
	}{
		{op, api.OpCreateProject, map[string]any{"name": "blog"}, []string{"acme"}},
		{op, api.OpUpdateProject, map[string]any{"display_name": "Shop"}, []string{"acme", "shop"}},
		{op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/"}}}, x.Path()},
		{op, api.OpDeleteEnvironment, nil, x.Path()},
		{op, api.OpDeleteServiceAccount, nil, []string{"acme", "shop", "gate"}},
		{op, api.OpDeleteWarpgate, nil, x.Path(w.ID)},
		{op, api.OpCreateJoinToken, nil, nil},
		{in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR}, nil},
		{op, api.OpDeleteOrganization, nil, []string{"acme"}},
	} {
		// Once: the client's own repetitions only take time.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := c.client.Do(ctx, api.Call{Operation: c.op, Params: c.params, Body: c.body}, nil)
		cancel()
		if code := mezu.CodeOf(err); code != mezu.CodeUnavailable && code != mezu.CodeConflict && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", c.op.ID, err)
		}
	}
	controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop")
	if after := everything(in); !slices.Equal(after, before) {
		t.Errorf("it left something:\n%v\n%v", before, after)
	}
	m.mute.Store(false)
	controltest.Call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
}

// everything is what the store has, but for notes of use and chunks of documents, as
// keys and revisions.
func everything(in *controltest.Installation) []string {
	in.T.Helper()
	var out []string
	for token := ""; ; {
		page, err := in.Store.List(in.T.Context(), "", token, store.MaxPage)
		if err != nil {
			in.T.Fatal(err)
		}
		for _, r := range page.Records {
			if !strings.HasPrefix(r.Key, "used/") && !strings.HasPrefix(r.Key, "doc") {
				out = append(out, r.Key+" "+string(rune('0'+r.Revision%10)))
			}
		}
		if token = page.Next; token == "" {
			return out
		}
	}
}

// watching follows an audit log into a channel that is closed at the end.
func watchingAudit(in *controltest.Installation, c *api.Client, after string, op api.Operation, params ...string) <-chan mezu.AuditRecord {
	in.T.Helper()
	s, err := c.WatchAudit(in.T.Context(), api.Call{Operation: op, Params: params}, after)
	if err != nil {
		in.T.Fatalf("%s: %v", op.ID, err)
	}
	in.T.Cleanup(s.Close)
	out := make(chan mezu.AuditRecord, 100)
	go func() {
		defer close(out)
		for {
			rec, err := s.Next()
			if err != nil {
				return
			}
			out <- rec
		}
	}()
	return out
}

// receive waits for one record of an operation.
func receive(t *testing.T, from <-chan mezu.AuditRecord, op api.Operation) mezu.AuditRecord {
	t.Helper()
	select {
	case rec, open := <-from:
		if !open || rec.Operation != op.ID {
			t.Fatalf("got %+v, open %v, want %s", rec, open, op.ID)
		}
		return rec
	case <-time.After(time.Minute):
		t.Fatalf("waited in vain for %s", op.ID)
	}
	return mezu.AuditRecord{}
}

// cutTime is how long a stream may outlive the right to it.
const cutTime = 5 * time.Second

// cut waits for the end of a stream; what comes before it is a mistake.
func cut(t *testing.T, what string, from <-chan mezu.AuditRecord) {
	t.Helper()
	began := time.Now()
	// Patience is more than the promise, so that a slow machine fails by the figure.
	late := time.After(time.Minute)
	for {
		select {
		case rec, open := <-from:
			if open {
				t.Errorf("%s: still got %+v", what, rec)
				continue
			}
			if took := time.Since(began); took > cutTime {
				t.Errorf("%s: cut after %s", what, took)
			}
			return
		case <-late:
			t.Fatalf("%s: not cut", what)
		}
	}
}

// A7: a watch shows one tenant's records, to a service account its project's, and ends
// within five seconds when its reader may not read them any more, before the first record
// that he may not. It resumes by the last id on what was written meanwhile.
func TestA7_AuditWatch(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	in.Tenant(op, "other")
	admin, adminMember := in.Join(op, "acme", "admin@acme.example", mezu.RoleAdmin)
	gone, goneMember := in.Join(op, "acme", "gone@acme.example", mezu.RoleAdmin)
	_, key := x.Account("reader", mezu.PermAuditRead)
	viewer, _ := in.Join(op, "acme", "viewer@acme.example", mezu.RoleViewer)
	reader := in.Client(key, nil)

	refused := func(c *api.Client, code mezu.Code, op api.Operation, params ...string) {
		t.Helper()
		s, err := c.WatchAudit(t.Context(), api.Call{Operation: op, Params: params}, "")
		if err == nil {
			s.Close()
		}
		if mezu.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", op.ID, err, code)
		}
	}
	refused(viewer, mezu.CodeForbidden, api.OpWatchAudit, "acme")
	refused(admin, mezu.CodeNotFound, api.OpWatchAudit, "other")
	refused(admin, mezu.CodeForbidden, api.OpWatchInstallationAudit)
	refused(in.Client("", nil), mezu.CodeUnauthenticated, api.OpWatchAudit, "acme")

	byAdmin, byGone := watchingAudit(in, admin, "", api.OpWatchAudit, "acme"), watchingAudit(in, gone, "", api.OpWatchAudit, "acme")
	byReader, byOperator := watchingAudit(in, reader, "", api.OpWatchAudit, "acme"), watchingAudit(in, op, "", api.OpWatchInstallationAudit)
	controltest.Call[any](t, op, api.OpCreateProject, map[string]any{"name": "theirs"}, "other")
	controltest.Call[any](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	controltest.Call[any](t, op, api.OpUpdateProject, map[string]any{"display_name": "S"}, "acme", "shop")
	in.JoinToken(op)
	last := receive(t, byAdmin, api.OpCreateProject)
	receive(t, byAdmin, api.OpUpdateProject)
	receive(t, byGone, api.OpCreateProject)
	receive(t, byGone, api.OpUpdateProject)
	receive(t, byReader, api.OpUpdateProject) // and nothing of "blog"
	receive(t, byOperator, api.OpCreateJoinToken)

	// After the id of a record come those since then; what is close to it may come
	// again, and is known.
	known := map[string]bool{last.ID: true}
	resumed := watchingAudit(in, admin, last.ID, api.OpWatchAudit, "acme")
	for {
		rec := <-resumed
		if rec.Organization != last.Organization {
			t.Fatalf("resumed into %+v", rec)
		}
		if rec.Operation == api.OpUpdateProject.ID && rec.ID > last.ID {
			break
		}
		if known[rec.ID] || rec.ID > last.ID {
			t.Fatalf("resumed with %+v", rec)
		}
	}

	controltest.Call[any](t, op, api.OpUpdateMember, map[string]any{"role": "viewer"}, "acme", adminMember.ID)
	cut(t, "a demoted admin", byAdmin)
	controltest.Call[any](t, op, api.OpDeleteMember, nil, "acme", goneMember.ID)
	for rec := range byGone { // it may see how the admin was demoted
		if rec.Operation != api.OpUpdateMember.ID {
			t.Errorf("a removed member still got %+v", rec)
		}
	}
	controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, "acme", "shop", "reader")
	cut(t, "a revoked key", byReader)
}

// Denied attempts of people and keys are in the log of the organization that they
// belong to, and what they tried at another's in the installation's, without its name;
// what nobody tries is not.
func TestAuditOfDenials(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	in.Tenant(op, "secret-name")
	viewer, member := in.Join(op, "acme", "viewer@acme.example", mezu.RoleViewer)
	acc, key := x.Account("few", mezu.PermProjectsRead)
	list := func(o api.Operation, q url.Values, params ...string) []mezu.AuditRecord {
		t.Helper()
		var out api.AuditList
		if q == nil {
			q = url.Values{}
		}
		q.Set("outcome", "denied")
		if err := op.Do(t.Context(), api.Call{Operation: o, Params: params, Query: q}, &out); err != nil {
			t.Fatal(err)
		}
		return out.Items
	}
	for range 30 {
		controltest.Refused(t, mezu.CodeForbidden, viewer, api.OpDeleteProject, nil, "acme", "shop")
	}
	controltest.Refused(t, mezu.CodeForbidden, in.Client(key, nil), api.OpCreateProject, map[string]any{"name": "x"}, "acme")
	controltest.Refused(t, mezu.CodeNotFound, viewer, api.OpGetOrganization, nil, "secret-name")
	controltest.Refused(t, mezu.CodeNotFound, viewer, api.OpGetOrganization, nil, "nobody") // no matter of authority
	controltest.Refused(t, mezu.CodeForbidden, viewer, api.OpListEdges, nil)
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", nil), api.OpListEdges, nil)

	theirs := list(api.OpListAudit, url.Values{"actor": {member.Person}}, "acme")
	if len(theirs) != audit.DenialRecords {
		t.Fatalf("%d records of 30 attempts", len(theirs))
	}
	if r := theirs[0]; r.Operation != api.OpDeleteProject.ID || r.Code != mezu.CodeForbidden || r.Target.Name != "shop" || r.Actor.Kind != "member" || r.RequestID == "" || r.After != nil {
		t.Errorf("%+v", r)
	}
	if r := list(api.OpListAudit, url.Values{"actor": {acc.ID}}, "acme"); len(r) != 1 || r[0].Operation != api.OpCreateProject.ID {
		t.Errorf("of the key: %+v", r)
	}
	ours := list(api.OpListInstallationAudit, nil)
	if len(ours) != 2 || ours[1].Operation != api.OpGetOrganization.ID || ours[1].Code != mezu.CodeNotFound || ours[1].Target != (mezu.AuditTarget{}) || ours[0].Operation != api.OpListEdges.ID {
		t.Errorf("of the installation: %+v", ours)
	}
	if text, _ := json.Marshal(ours); strings.Contains(string(text), "secret-name") {
		t.Errorf("operators learn what was asked for: %s", text)
	}
	// What was only counted is written at the end of the process.
	in.Restart()
	op = in.Client(in.RecoveredToken(), nil)
	n := 0
	for _, r := range in.Audited() {
		if r.Outcome == mezu.AuditDenied && r.Actor.ID == member.Person && r.Operation == api.OpDeleteProject.ID {
			n += max(1, r.Count)
		}
	}
	if n != 30 {
		t.Errorf("%d attempts, not 30", n)
	}
}

// A bad question is answered with the field; pages go on where they ended, also when
// the records went into the archive between them, and belong to their question.
func TestAuditPages(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	for _, name := range []string{"a", "b"} {
		x.Account(name, mezu.PermProjectsRead)
	}
	for _, c := range []struct{ query, field string }{
		{"since=yesterday", "since"}, {"until=1969-01-01T00:00:00Z", "until"}, {"outcome=maybe", "outcome"}, {"order=random", "order"},
		{"operation=drop-table", "operation"}, {"actor=" + strings.Repeat("a", 200), "actor"}, {"page_token=x", "page_token"}, {"page_size=0", "page_size"},
		{"since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until"}, {"name=x", "name"}, {"actor=a&actor=b", "actor"},
	} {
		status, _, body := in.Raw("GET", "/v1/organizations/acme/audit?"+c.query, token, "", "")
		if status != 400 || !strings.Contains(body, `"field":"`+c.field+`"`) {
			t.Errorf("%s: %d %s", c.query, status, body)
		}
	}
	for n := range 7 {
		controltest.Call[any](t, op, api.OpUpdateProject, map[string]any{"display_name": strings.Repeat("x", n+1)}, "acme", "shop")
	}
	page := func(token string, q url.Values) api.AuditList {
		t.Helper()
		var out api.AuditList
		q.Set("page_size", "2")
		if token != "" {
			q.Set("page_token", token)
		}
		if err := op.Do(t.Context(), api.Call{Operation: api.OpListAudit, Params: []string{"acme"}, Query: q}, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	mine := func() url.Values { return url.Values{"operation": {"update-project"}} }
	first := page("", mine())
	for _, other := range []url.Values{{"operation": {"create-project"}}, {"operation": {"update-project"}, "order": {"oldest"}}} {
		other.Set("page_token", first.NextPageToken)
		if err := op.Do(t.Context(), api.Call{Operation: api.OpListAudit, Params: []string{"acme"}, Query: other}, nil); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("a token of another question: %v", err)
		}
	}
	in.Clock.Advance(audit.Life + 25*time.Hour)
	in.TLSTime = in.Clock.Now
	in.Restart() // which sweeps
	controltest.Eventually(t, "the archive", func() bool { return len(in.Keys("audithead/")) == 2 })
	op = in.Client(token, nil)
	got := first.Items
	for next := first.NextPageToken; next != ""; {
		p := page(next, mine())
		got = append(got, p.Items...)
		next = p.NextPageToken
	}
	if len(got) != 7 || !slices.IsSortedFunc(got, func(a, b mezu.AuditRecord) int { return strings.Compare(b.ID, a.ID) }) {
		t.Errorf("%d records", len(got))
	}
	// What lies there verifies with what an operator has: the directory and a copy of
	// the public key.
	if _, err := os.Stat(filepath.Join(in.Dir, "trust-root.pub")); err != nil {
		t.Error(err)
	}
	dirs, err := filepath.Glob(filepath.Join(in.Dir, "archive", "*"))
	if err != nil || len(dirs) != 3 { // the two scopes and the keysets
		t.Errorf("%v %v", dirs, err)
	}
	reports, err := archive.New(filepath.Join(in.Dir, "archive"), trustRoot(in)).Verify()
	if err != nil || len(reports) != 2 || len(reports[0].Faults)+len(reports[1].Faults) != 0 {
		t.Errorf("%+v %v", reports, err)
	}
	in.ScanAudit()
}

// trustRoot reads the file for verifiers.
func trustRoot(in *controltest.Installation) []byte {
	in.T.Helper()
	text, err := os.ReadFile(filepath.Join(in.Dir, "trust-root.pub"))
	if err != nil {
		in.T.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		in.T.Fatal(err)
	}
	return key
}
