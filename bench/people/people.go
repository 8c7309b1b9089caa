// Package people times the operations on directories and users: those of the control
// plane over its embedded store, in this process, beside the bare engine with the same
// bytes.
//
// What lives here: making users, and clocks around calls. What may not: tables, goals,
// and anything that a program of ours needs. Only bench imports it.
package people

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	engine "github.com/dgraph-io/badger/v4"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/format"
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

// Installation is a control plane's operations over a store on this disk, and the bare
// engine beside it.
type Installation struct {
	service  *service.Service
	driver   *recorder
	db       *badger.DB
	bare     *engine.DB
	caller   service.Caller
	made     map[string]int        // users by directory
	ids      map[string]string     // a user's id by directory
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

// Open makes an installation in dir with a project that has roles.
func Open(ctx context.Context, dir string) (in *Installation, err error) {
	in = &Installation{caller: service.Caller{Kind: service.Member, ID: mezu.NewID("opr", time.Now()), Operator: true},
		made: map[string]int{}, ids: map[string]string{}, lastPage: map[string]pageTokens{}, copied: map[string][2]keys{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Close())
		}
	}()
	in.bare, err = engine.Open(engine.DefaultOptions(filepath.Join(dir, "bare")).WithSyncWrites(true).WithLogger(nil))
	if err != nil {
		return in, err
	}
	if in.db, err = badger.Open(badger.Options{Dir: filepath.Join(dir, "store")}); err != nil {
		return in, err
	}
	in.driver = &recorder{Store: in.db}
	key := &seal.File{Path: filepath.Join(dir, "seal.key")}
	sealed, err := format.Open(ctx, in.driver, format.Options{Wrapper: key, Program: "bench"})
	if err != nil {
		return in, err
	}
	vault := shelf{}
	if err := ca.Create(ctx, vault, filepath.Join(dir, "offline"), time.Now); err != nil {
		return in, err
	}
	authority, err := ca.Open(ctx, vault, time.Now)
	if err != nil {
		return in, err
	}
	if in.service, err = service.Open(ctx, service.Config{Store: sealed, Authority: authority, Domain: "localhost", Log: slog.New(slog.DiscardHandler)}); err != nil {
		return in, err
	}
	_, err = in.service.CreateOrganization(ctx, in.caller, mezu.Organization{Name: "acme"}, service.Once{})
	if err != nil {
		return in, err
	}
	prj := mezu.Project{Name: "shop", Roles: map[string]mezu.ProjectRole{}}
	for i := range roles {
		prj.Roles[role(i)] = mezu.ProjectRole{Permissions: []string{"orders.read"}}
	}
	_, err = in.service.CreateProject(ctx, in.caller, service.Place{Organization: "acme"}, prj, service.Once{})
	return in, err
}

func role(i int) string { return fmt.Sprintf("role%d", i%roles) }

// Close releases both stores.
func (in *Installation) Close() error {
	var err error
	if in.db != nil {
		err = in.db.Close()
	}
	if in.bare != nil {
		err = errors.Join(err, in.bare.Close())
	}
	return err
}

func place(directory string) service.Place {
	return service.Place{Organization: "acme", Directory: directory}
}

func mail(i int) string { return fmt.Sprintf("user.number.%d@mail%d.example.com", i, i%97) }

func user(i int) mezu.User {
	u := mezu.User{Profile: mezu.Profile{Email: mail(i), Name: fmt.Sprint("User Number ", i), DisplayName: fmt.Sprint("U", i)}, Roles: []string{"shop/" + role(i)}}
	if i%10 == 0 {
		u.Status = mezu.UserInactive
	}
	return u
}

// Fill imports users into a directory, which it makes if need be, until it has n, and
// writes what finds them with the engine alone. It returns how many a second it
// imported.
func (in *Installation) Fill(ctx context.Context, directory string, n int) (float64, error) {
	if _, there := in.made[directory]; !there {
		if _, err := in.service.CreateDirectory(ctx, in.caller, service.Place{Organization: "acme"}, mezu.Directory{Name: directory}, service.Once{}); err != nil {
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
	rate := float64(n-from) / time.Since(begin).Seconds()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return rate, err
	}
	return rate, in.copyBare(ctx, directory)
}

// importAll imports users, again what the makers take from one another.
func (in *Installation) importAll(ctx context.Context, directory string, batch []mezu.User) error {
	for {
		n, err := in.service.ImportUsers(ctx, place(directory), batch)
		if batch = batch[n:]; mezu.CodeOf(err) != mezu.CodeUnavailable {
			return err
		}
	}
}

// Pair are the times of an operation and of the bare engine with the same bytes.
type Pair struct{ Ours, Bare []time.Duration }

func (p *Pair) take(ours, bare func() error) error {
	for _, side := range []struct {
		do   func() error
		into *[]time.Duration
	}{{ours, &p.Ours}, {bare, &p.Bare}} {
		begin := time.Now()
		if err := side.do(); err != nil {
			return err
		}
		*side.into = append(*side.into, time.Since(begin))
	}
	return nil
}

// Create makes n users one after the other and writes the records of each, as the
// driver got them, with the engine alone, in turn.
func (in *Installation) Create(ctx context.Context, directory string, n int) (Pair, error) {
	var p Pair
	for range n {
		i := in.made[directory]
		err := p.take(func() error {
			u, err := in.service.CreateUser(ctx, in.caller, place(directory), user(i), service.Once{})
			in.ids[directory] = u.ID
			return err
		}, in.writeBare)
		if err != nil {
			return p, err
		}
		in.made[directory]++
	}
	return p, nil
}

func (in *Installation) writeBare() error {
	txn := in.bare.NewTransaction(true)
	defer txn.Discard()
	for _, op := range in.driver.last.Load().Ops {
		if err := txn.Set([]byte(op.Key), op.Value); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// Read shows one user n times, and gets its record with the engine alone, in turn.
func (in *Installation) Read(ctx context.Context, directory string, n int) (Pair, error) {
	var p Pair
	dir, err := in.service.GetDirectory(ctx, in.caller, place(directory))
	if err != nil {
		return p, err
	}
	at := place(directory)
	at.Item = in.ids[directory]
	key := []byte("user/" + dir.ID + "/" + at.Item)
	for range n {
		err := p.take(func() error {
			_, err := in.service.GetUser(ctx, in.caller, at)
			return err
		}, func() error {
			return in.bare.View(func(txn *engine.Txn) error { return getBare(txn, key) })
		})
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// getBare reads one record.
func getBare(txn *engine.Txn, key []byte) error {
	item, err := txn.Get(key)
	if err == nil {
		_, err = item.ValueCopy(nil)
	}
	return err
}

// pageSize is that of the listings that are timed, the API's default.
const pageSize = 100

// List lists a page n times, and reads as many records with the engine alone, in
// turn.
func (in *Installation) List(ctx context.Context, directory string, n int) (Pair, error) {
	var p Pair
	dir, err := in.service.GetDirectory(ctx, in.caller, place(directory))
	if err != nil {
		return p, err
	}
	prefix := []byte("user/" + dir.ID + "/")
	for range n {
		err := p.take(func() error {
			out, err := in.service.ListUsers(ctx, in.caller, place(directory), mezu.UserFilter{}, service.Paging{Size: pageSize})
			if err == nil && len(out.Items) != pageSize {
				err = fmt.Errorf("a page of %d users", len(out.Items))
			}
			return err
		}, func() error { return in.listBare(prefix) })
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

func (in *Installation) listBare(prefix []byte) error {
	return in.bare.View(func(txn *engine.Txn) error {
		opts := engine.DefaultIteratorOptions
		opts.Prefix = prefix
		it := txn.NewIterator(opts)
		defer it.Close()
		n := 0
		for it.Rewind(); it.Valid() && n < pageSize; it.Next() {
			if _, err := it.Item().ValueCopy(nil); err != nil {
				return err
			}
			n++
		}
		if n != pageSize || !bytes.HasPrefix(it.Item().Key(), prefix) {
			return fmt.Errorf("the bare engine has %d records", n)
		}
		return nil
	})
}
