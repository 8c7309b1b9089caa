// Package inprocess times operations of the control plane in this process, over its embedded
// store or over an etcd cluster, beside the bare engine with the same bytes: above all
// those on directories and users.
//
// What lives here: making records, and clocks around calls. What may not: tables, goals,
// and anything that a program of ours needs. Only bench imports it.
package inprocess

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// makers is how many imports run at once, so that they share writes to the disk, and
// importSize how many users each takes at a time.
const (
	makers     = 8
	importSize = 500
)

// roles of the project; each user has one of them.
const roles = 4

// Installation is a control plane's operations over a store, and the bare engine beside
// it.
type Installation struct {
	service  *service.Service
	driver   *recorder
	bare     bare
	closers  []func() error // in the order of opening
	caller   access.Caller
	made     map[string]int        // users by directory
	created  map[string]int        // one by one, by kind
	lastPage map[string]pageTokens // by directory and filter
	copied   map[string][2]keys    // of index and users, which bare has too, by directory
}

// pageTokens lead to a listing's last pages.
type pageTokens map[string]string

// recorder keeps what was last written through it.
type recorder struct {
	store.Store
	last atomic.Pointer[store.Txn]
}

// Commit writes and remembers.
func (r *recorder) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	r.last.Store(&txn)
	return r.Store.Commit(ctx, txn)
}

// shelf keeps an authority's records in memory.
type shelf map[string][]byte

// Load implements ca.Vault.
func (s shelf) Load(_ context.Context, name string) ([]byte, error) {
	if data, ok := s[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// Save implements ca.Vault.
func (s shelf) Save(_ context.Context, name string, data []byte) error {
	s[name] = data
	return nil
}

// Open makes an installation over an embedded store in dir.
func Open(ctx context.Context, dir string) (*Installation, error) {
	in := newInstallation()
	return in, in.unless(func() error {
		reference, err := openBadger(filepath.Join(dir, "bare"))
		if err != nil {
			return err
		}
		in.bare, in.closers = reference, append(in.closers, reference.db.Close)
		db, err := badger.Open(badger.Options{Dir: filepath.Join(dir, "store")})
		if err != nil {
			return err
		}
		in.closers = append(in.closers, db.Close)
		return in.setUp(ctx, dir, db)
	})
}

func newInstallation() *Installation {
	return &Installation{caller: access.Caller{Kind: access.Member, ID: mezu.NewID("opr", time.Now()), Operator: true},
		made: map[string]int{}, created: map[string]int{}, lastPage: map[string]pageTokens{}, copied: map[string][2]keys{}}
}

// unless closes the installation when opening it fails.
func (in *Installation) unless(open func() error) error {
	err := open()
	if err != nil {
		err = errors.Join(err, in.Close())
	}
	return err
}

// setUp makes an organization with a project that has roles.
func (in *Installation) setUp(ctx context.Context, dir string, db store.Store) error {
	in.driver = &recorder{Store: db}
	key := &seal.File{Path: filepath.Join(dir, "seal.key")}
	sealed, err := format.Open(ctx, in.driver, format.Options{Wrapper: key, Program: "bench"})
	if err != nil {
		return err
	}
	vault := shelf{}
	if err := ca.Create(ctx, vault, filepath.Join(dir, "offline"), time.Now); err != nil {
		return err
	}
	authority, err := ca.Open(ctx, vault, time.Now)
	if err != nil {
		return err
	}
	if in.service, err = service.Open(ctx, service.Config{StoreConfig: record.Config{Store: sealed, Authority: authority, Quotas: record.Quotas{"projects": 1_000_000, "users": 10_000_000}, Log: slog.New(slog.DiscardHandler)}, Domain: "localhost"}); err != nil {
		return err
	}
	_, err = in.service.CreateOrganization(ctx, in.caller, mezu.Organization{Name: "acme"}, record.Idempotency{})
	if err != nil {
		return err
	}
	prj := mezu.Project{Name: "shop", Roles: map[string]mezu.ProjectRole{}}
	for i := range roles {
		prj.Roles[role(i)] = mezu.ProjectRole{Permissions: []string{"orders.read"}}
	}
	_, err = in.service.CreateProject(ctx, in.caller, access.Path{Organization: "acme"}, prj, record.Idempotency{})
	return err
}

func role(i int) string { return fmt.Sprintf("role%d", i%roles) }

// Close releases store and engine.
func (in *Installation) Close() error {
	var errs []error
	for _, closeIt := range slices.Backward(in.closers) {
		errs = append(errs, closeIt())
	}
	in.closers = nil
	return errors.Join(errs...)
}

func directoryPath(directory string) access.Path {
	return access.Path{Organization: "acme", Directory: directory}
}

func mail(i int) string { return fmt.Sprintf("user.number.%d@mail%d.example.com", i, i%97) }

func user(i int) mezu.User {
	u := mezu.User{Profile: mezu.Profile{Email: mail(i), Name: fmt.Sprint("User Number ", i), DisplayName: fmt.Sprint("U", i)}, Roles: []string{"shop/" + role(i)}}
	if i%10 == 0 {
		u.Status = mezu.UserInactive
	}
	return u
}

// Fill imports users into a directory, which it makes if need be, until it has n. It
// returns how many a second it imported.
func (in *Installation) Fill(ctx context.Context, directory string, n int) (float64, error) {
	if _, there := in.made[directory]; !there {
		if _, err := in.service.CreateDirectory(ctx, in.caller, access.Path{Organization: "acme"}, mezu.Directory{Name: directory}, record.Idempotency{}); err != nil {
			return 0, err
		}
	}
	from := in.made[directory]
	begin := time.Now()
	var next atomic.Int64
	next.Store(int64(from))
	errs := make([]error, makers)
	var wg sync.WaitGroup
	for m := range makers {
		wg.Go(func() {
			for errs[m] == nil && ctx.Err() == nil {
				first := int(next.Add(importSize)) - importSize
				var batch []mezu.User
				for i := first; i < min(first+importSize, n); i++ {
					batch = append(batch, user(i))
				}
				if len(batch) == 0 {
					return
				}
				errs[m] = in.importAll(ctx, directory, batch)
			}
		})
	}
	wg.Wait()
	in.made[directory] = n
	return float64(n-from) / time.Since(begin).Seconds(), errors.Join(append(errs, ctx.Err())...)
}

// importAll imports users, again what the makers take from one another.
func (in *Installation) importAll(ctx context.Context, directory string, batch []mezu.User) error {
	for {
		n, err := in.service.ImportUsers(ctx, directoryPath(directory), batch)
		if batch = batch[n:]; mezu.CodeOf(err) != mezu.CodeUnavailable {
			return err
		}
	}
}
