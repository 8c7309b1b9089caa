package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed/sealedtest"
)

// pool is a service with a directory of an organization and its owner.
type pool struct {
	*Service
	owner access.Caller
	place access.Path
	dir   mezu.Directory
	now   time.Time
}

func newPool(t testing.TB, quotas record.Quotas) *pool {
	t.Helper()
	db := sealedtest.Open(t)
	p := &pool{owner: access.Caller{Kind: access.Member, ID: "opr_x", Operator: true}, place: access.Path{Organization: "acme", Directory: "people"}, now: time.Now()}
	now := func() time.Time { return p.now }
	authority := recordtest.Authority(t, now)
	var err error
	if p.Service, err = Open(t.Context(), Config{StoreConfig: StoreConfig{Store: db, Authority: authority, Quotas: quotas, Log: slog.New(slog.DiscardHandler), Now: now}, Domain: "localhost"}); err != nil {
		t.Fatal(err)
	}
	roles := map[string]mezu.ProjectRole{}
	for i := range 2 * mezu.MaxUserRoles {
		roles[fmt.Sprint("r", i)] = mezu.ProjectRole{}
	}
	if _, err = p.CreateOrganization(t.Context(), p.owner, mezu.Organization{Name: "acme"}, record.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	if _, err = p.CreateProject(t.Context(), p.owner, p.place, mezu.Project{Name: "shop", Roles: roles}, record.Idempotency{}); err != nil {
		t.Fatal(err)
	}
	made, err := p.CreateDirectory(t.Context(), p.owner, p.place, mezu.Directory{Name: "people"}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	p.dir = made.Directory
	return p
}

func (p *pool) add(t testing.TB, email string, roles ...string) mezu.User {
	t.Helper()
	u, err := p.CreateUser(t.Context(), p.owner, p.place, api.UserCreate{User: mezu.User{Profile: mezu.Profile{Email: email}, Roles: roles}}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// job is one that sweeps.
func (p *pool) job(t testing.TB, name string) func(context.Context) error {
	t.Helper()
	for _, j := range p.jobs() {
		if j.Name == name {
			return j.Run
		}
	}
	t.Fatalf("there is no job %q", name)
	return nil
}

func (p *pool) left(t *testing.T, key string) bool {
	t.Helper()
	rec, err := record.Optional[any](t.Context(), p.Service.records, key)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Revision != 0
}

func (p *pool) at(id string) access.Path {
	place := p.place
	place.Item = id
	return place
}

// everyRole are grants of the roles first to first + MaxUserRoles.
func everyRole(first int) []string {
	var out []string
	for i := range mezu.MaxUserRoles {
		out = append(out, fmt.Sprint("shop/r", first+i))
	}
	return out
}

// The largest change of a user fits one transaction: another address, another status
// and all roles exchanged, under an Idempotency-Key for the creation.
func TestUser_LargestChange(t *testing.T) {
	p := newPool(t, nil)
	in := mezu.User{Profile: mezu.Profile{Email: "a@example.com"}, Roles: everyRole(0)}
	u, err := p.CreateUser(t.Context(), p.owner, p.place, api.UserCreate{User: in}, record.Idempotency{Key: strings.Repeat("k", record.MinIdempotencyKey)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.UpdateUser(t.Context(), p.owner, p.at(u.ID), 0, func(u *mezu.User) error {
		u.Profile.Email, u.Status, u.Roles = "b@example.com", mezu.UserSuspended, everyRole(mezu.MaxUserRoles)
		return nil
	})
	if err != nil || len(out.Roles) != mezu.MaxUserRoles || out.Status != mezu.UserSuspended {
		t.Fatalf("%+v %v", out, err)
	}
	if err := p.DeleteUser(t.Context(), p.owner, p.at(u.ID), 0); err != nil {
		t.Fatal(err)
	}
	// Nothing of the user is left that finds him, and nothing counts him.
	for _, prefix := range []string{"user/", "login/", "mail/", "user-status/", "user-role/", "user-role-status/"} {
		if page, err := p.records.Store.List(t.Context(), prefix, "", 0); err != nil || len(page.Records) > 0 {
			t.Errorf("%s has %d records: %v", prefix, len(page.Records), err)
		}
	}
	if err := p.DeleteDirectory(t.Context(), p.owner, p.place, 0); err != nil {
		t.Error(err)
	}
	if page, err := p.records.Store.List(t.Context(), "user-count/", "", 0); err != nil || len(page.Records) > 0 {
		t.Errorf("%d counts are left: %v", len(page.Records), err)
	}
}

func TestNoteLogin(t *testing.T) {
	p := newPool(t, nil)
	u := p.add(t, "a@example.com")
	begin := p.now.UTC().Truncate(time.Second)
	note := func(i int, outcome mezu.LoginOutcome) {
		t.Helper()
		l := mezu.Login{Time: begin.Add(time.Duration(i) * time.Minute), Address: "2001:db8::1", Method: "password", Outcome: outcome}
		if err := p.note(t, u.ID, l); err != nil {
			t.Fatal(err)
		}
	}
	for i := range mezu.MaxLogins + 5 {
		note(i, mezu.LoginSucceeded)
	}
	note(100, mezu.LoginFailed)
	note(101, mezu.LoginRefused)
	logins, err := p.ListLogins(t.Context(), p.owner, p.at(u.ID))
	if err != nil || len(logins.Items) != mezu.MaxLogins || logins.Items[0].Outcome != mezu.LoginRefused || logins.Items[1].Outcome != mezu.LoginFailed ||
		!logins.Items[2].Time.Equal(begin.Add(54*time.Minute)) || !logins.Items[49].Time.Equal(begin.Add(7*time.Minute)) {
		t.Errorf("%d logins, %v: %+v", len(logins.Items), err, logins.Items)
	}
	now, err := p.GetUser(t.Context(), p.owner, p.at(u.ID))
	if err != nil || !now.LastLoginAt.Equal(begin.Add(54*time.Minute)) || now.Revision != 1 {
		t.Errorf("%+v, %v", now, err)
	}
	// An update in the revision that was read before a login is not stale.
	changed, err := p.UpdateUser(t.Context(), p.owner, p.at(u.ID), 1, func(u *mezu.User) error { u.Profile.Name = "A"; return nil })
	if err != nil || changed.Revision != 2 || !changed.LastLoginAt.Equal(now.LastLoginAt) {
		t.Errorf("%+v, %v", changed, err)
	}
	for _, bad := range []mezu.Login{
		{}, {Time: begin, Address: "example.com", Method: "password", Outcome: mezu.LoginFailed},
		{Time: begin, Address: "192.0.2.1", Method: "Pass word", Outcome: mezu.LoginFailed}, {Time: begin, Address: "192.0.2.1", Method: "password"},
	} {
		if err := p.note(t, u.ID, bad); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// note notes an attempt to log in as a user, as the login flows do.
func (p *pool) note(t *testing.T, id string, l mezu.Login) error {
	t.Helper()
	_, err := p.records.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		h, err := p.Holder(t.Context(), p.dir.ID, id)
		if err != nil {
			return err
		}
		return p.NoteLogin(t.Context(), ch, p.dir.ID, h, l)
	})
	return err
}

// Grants that came between the look for them and the removal of their role, as when
// the process is killed right after it, are taken back; until then no role comes back.
func TestTakeRoles_AfterAKill(t *testing.T) {
	p := newPool(t, nil)
	u := p.add(t, "a@example.com", "shop/r0", "shop/r1")
	prj, err := record.Get[mezu.Project](t.Context(), p.Service.records, access.ProjectsOf(orgID(t, p))+"shop")
	if err != nil {
		t.Fatal(err)
	}
	role := prj.Value.Roles["r0"]
	_, err = p.records.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		delete(prj.Value.Roles, "r0")
		ch.Update(prj.Key, prj.Revision, prj.Value)
		ch.Enqueue(record.Task{Kind: record.TaskRoles, ID: prj.Value.ID, Organization: orgID(t, p), Roles: []string{"r0"}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	place := access.Path{Organization: "acme", Project: "shop"}
	back := func(prj *mezu.Project) error {
		prj.Roles = maps.Clone(prj.Roles)
		prj.Roles["r0"] = role
		return nil
	}
	if _, err := p.UpdateProject(t.Context(), p.owner, place, 0, back); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Fatalf("a role came back while it was had: %v", err)
	}
	if err := p.records.FinishRest(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, err := p.GetUser(t.Context(), p.owner, p.at(u.ID))
	if err != nil || len(now.Roles) != 1 || now.Roles[0] != "shop/r1" || now.Revision != 2 {
		t.Errorf("%+v, %v", now, err)
	}
	revoked, err := p.records.Store.List(t.Context(), record.PrefixRevocation, "", 0)
	if err != nil || len(revoked.Records) != 1 {
		t.Errorf("%d revocations, %v", len(revoked.Records), err)
	}
	if _, err := p.UpdateProject(t.Context(), p.owner, place, 0, back); err != nil {
		t.Error(err)
	}
	if found, err := p.ListUsers(t.Context(), p.owner, p.place, mezu.UserFilter{Role: "shop/r0"}, record.Paging{}); err != nil || len(found.Items) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// Issue 7, row 1: what a directory's revocation covers and what is past its end goes, and
// the count of those that stay is right afterwards.
func TestRow1Sweep(t *testing.T) {
	p := newPool(t, record.Quotas{"revocations": 70})
	org, dir := orgID(t, p), "dir_a"
	end := func(n int) {
		t.Helper()
		_, err := p.records.Publish(t.Context(), record.Internal(), func(ch *record.Change) error {
			return p.RevokeUser(t.Context(), ch, org, dir, fmt.Sprintf("usr_%d", n))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	counted := func() int {
		t.Helper()
		n, err := record.Optional[int](t.Context(), p.Service.records, record.KeyEnded(org))
		if err != nil {
			t.Fatal(err)
		}
		return n.Value
	}
	check := func(records, count int) {
		t.Helper()
		if err := p.job(t, "sweeping revocations")(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, err := p.records.Store.List(t.Context(), record.PrefixRevocation, "", store.MaxPage)
		if n := counted(); err != nil || len(left.Records) != records || n != count {
			t.Errorf("%d records, counted %d, want %d and %d; %v", len(left.Records), n, records, count, err)
		}
	}
	for i := range 70 {
		end(i)
	}
	check(70, 70)
	end(3) // again: it is one still
	check(70, 70)
	p.now = p.now.Add(time.Second)
	end(70)
	check(1, 0) // all of the directory
	p.now = p.now.Add(time.Second)
	end(71)
	check(2, 1)
	for i := range 69 {
		end(i)
	}
	p.now = p.now.Add(time.Second)
	end(70) // all of it again
	p.now = p.now.Add(time.Second)
	end(3)
	end(3)
	if n := counted(); n != 1 {
		t.Errorf("%d count beside the directory before a sweep", n)
	}
	check(2, 1)
	p.now = p.now.Add(mezu.MaxGrantLife + 3*time.Minute)
	check(0, 0)
}

func orgID(t *testing.T, p *pool) string {
	t.Helper()
	org, err := p.GetOrganization(t.Context(), p.owner, p.place)
	if err != nil {
		t.Fatal(err)
	}
	return org.ID
}

// The index of addresses is blind, of one directory each, and outlives a restart and the rotation
// of the keys at rest.
func TestHolderByMail(t *testing.T) {
	p := newPool(t, nil)
	u := p.add(t, "Ann@Example.com")
	p.add(t, "bob@example.com")
	byMail, err := p.HolderByMail(t.Context(), p.dir.ID, "ann@EXAMPLE.com")
	if err != nil || byMail.User.ID != u.ID {
		t.Errorf("%+v, %v", byMail, err)
	}
	entryOf := func(directory, user string) string {
		t.Helper()
		entry := ""
		err := record.Each(t.Context(), p.Service.records, "mail/"+directory+"/", func(f record.Record[string]) error {
			if f.Value == user {
				entry = f.Key
			}
			return nil
		})
		if err != nil || entry == "" {
			t.Fatalf("no entry of %s: %v", user, err)
		}
		return entry
	}
	if _, err := p.HolderByMail(t.Context(), mezu.NewID(mezu.PrefixDirectory, p.now), "ann@example.com"); err == nil {
		t.Error("found in another directory")
	}
	entry := entryOf(p.dir.ID, u.ID)
	elsewhere, err := p.CreateDirectory(t.Context(), p.owner, p.place, mezu.Directory{Name: "others"}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	place := p.place
	place.Directory = elsewhere.Name
	same, err := p.CreateUser(t.Context(), p.owner, place, api.UserCreate{User: mezu.User{Profile: mezu.Profile{Email: "ann@example.com"}}}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	if other := entryOf(elsewhere.ID, same.ID); other[strings.LastIndex(other, "/"):] == entry[strings.LastIndex(entry, "/"):] {
		t.Error("an address looks the same in two directories")
	}
	if _, err := p.cfg.Store.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), Config{StoreConfig: StoreConfig{Store: p.cfg.Store, Authority: p.records.Authority, Log: p.records.Log}, Domain: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if byMail, err := again.HolderByMail(t.Context(), p.dir.ID, "ann@example.com"); err != nil || byMail.User.ID != u.ID || entryOf(p.dir.ID, u.ID) != entry {
		t.Errorf("another index after a restart: %+v, %v", byMail, err)
	}
	page, err := p.records.Store.List(t.Context(), "mail/"+p.dir.ID+"/", "", 0)
	if err != nil || len(page.Records) != 2 || page.Records[0].Key != entry && page.Records[1].Key != entry {
		t.Errorf("%+v, %v", page.Records, err)
	}
}

// Creations at once do not fail for being many.
func TestCreateUser_ManyAtOnce(t *testing.T) {
	p := newPool(t, nil)
	const many = 64
	failed := make(chan error, many)
	for i := range many {
		go func() {
			_, err := p.CreateUser(t.Context(), p.owner, p.place, api.UserCreate{User: mezu.User{Profile: mezu.Profile{Email: fmt.Sprintf("u%d@example.com", i)}}}, record.Idempotency{})
			failed <- err
		}()
	}
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	total := 0
	err := record.Each(t.Context(), p.Service.records, "user-count/"+p.dir.ID+"/", func(f record.Record[int]) error { total += f.Value; return nil })
	if err != nil || total != many {
		t.Errorf("counted %d, %v", total, err)
	}
}

// An import makes users as others are, in transactions that fit, and stops at the
// first that can't be.
func TestImportUsers(t *testing.T) {
	p := newPool(t, nil)
	var in []mezu.User
	for i := range 100 {
		in = append(in, mezu.User{Profile: mezu.Profile{Email: fmt.Sprintf("u%d@example.com", i)}, Roles: everyRole(0)[:i%(mezu.MaxUserRoles+1)]})
	}
	if n, err := p.ImportUsers(t.Context(), p.place, in); n != 100 || err != nil {
		t.Fatalf("%d made, %v", n, err)
	}
	for filter, want := range map[mezu.UserFilter]int{{}: 100, {Email: "U7@example.com"}: 1, {Role: "shop/r11"}: 7, {Role: "shop/r11", Status: mezu.UserActive}: 7, {Status: mezu.UserInactive}: 0} {
		if out, err := p.ListUsers(t.Context(), p.owner, p.place, filter, record.Paging{Size: 1000}); err != nil || len(out.Items) != want {
			t.Errorf("%+v: %d users, %v", filter, len(out.Items), err)
		}
	}
	u := func(mail string) mezu.User { return mezu.User{Profile: mezu.Profile{Email: mail}} }
	for name, bad := range map[string][]mezu.User{
		"taken": {u("u1@example.com")}, "twice": {u("x@example.com"), u("X@example.com")}, "invalid": {u("x@example.com"), u("x")},
	} {
		if n, err := p.ImportUsers(t.Context(), p.place, bad); n != 0 || err == nil {
			t.Errorf("%s: %d made, %v", name, n, err)
		}
	}
	if _, err := p.ImportUsers(t.Context(), access.Path{Organization: "acme", Directory: "none"}, in[:1]); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("into no directory: %v", err)
	}
	// They are counted, though not each where it is uncounted.
	if err := p.DeleteDirectory(t.Context(), p.owner, p.place, 0); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("a directory with users: %v", err)
	}
	all, err := p.ListUsers(t.Context(), p.owner, p.place, mezu.UserFilter{}, record.Paging{Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all.Items {
		if err := p.DeleteUser(t.Context(), p.owner, p.at(u.ID), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.DeleteDirectory(t.Context(), p.owner, p.place, 0); err != nil {
		t.Error(err)
	}
}
