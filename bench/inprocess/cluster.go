package inprocess

import (
	"context"
	"errors"
	"fmt"
	"os"

	engine "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/etcd"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
)

// OpenEtcd makes an installation over a cluster of three members of the etcd that is
// installed, on this machine's loopback. Both it and the bare client speak to that
// cluster.
func OpenEtcd(ctx context.Context, dir string) (*Installation, error) {
	in := newInstallation()
	return in, in.unless(func() error {
		s := &stage{dir: dir}
		in.closers = append(in.closers, s.close)
		var cluster *etcdtest.Cluster
		if err := s.run(func() { cluster = etcdtest.StartProcesses(s) }); err != nil {
			return err
		}
		client, err := engine.New(engine.Config{Context: ctx, Endpoints: cluster.Endpoints, TLS: cluster.TLS(), Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		in.bare, in.closers = &bareEtcd{client}, append(in.closers, client.Close)
		db, err := etcd.Open(ctx, etcd.Options{Endpoints: cluster.Endpoints, TLS: cluster.TLS()})
		if err != nil {
			return err
		}
		in.closers = append(in.closers, db.Close)
		return in.setUp(ctx, dir, db)
	})
}

// stage is what a cluster runs for when there is no test.
type stage struct {
	dir      string
	cleanups []func()
	errs     []error
}

// errGaveUp is what Fatal panics with.
var errGaveUp = errors.New("gave up")

// run calls start and returns what it reported.
func (s *stage) run(start func()) (err error) {
	defer func() {
		if r := recover(); r != nil && r != errGaveUp {
			panic(r)
		}
		err = errors.Join(s.errs...)
	}()
	start()
	return nil
}

func (s *stage) close() error {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	return nil
}

func (s *stage) Helper()          {}
func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (s *stage) Failed() bool     { return len(s.errs) > 0 }
func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp(s.dir, "etcd-")
	if err != nil {
		s.Fatal(err)
	}
	return dir
}
func (s *stage) Logf(format string, args ...any) { s.Errorf(format, args...) }
func (s *stage) Errorf(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}
func (s *stage) Error(args ...any) { s.Errorf("%s", fmt.Sprint(args...)) }
func (s *stage) Skip(args ...any)  { s.Fatal(args...) }
func (s *stage) Fatal(args ...any) {
	s.Error(args...)
	panic(errGaveUp)
}
func (s *stage) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	panic(errGaveUp)
}

// bareNamespace keeps the bare client's records from ours.
const bareNamespace = "bare/"

// bareEtcd is etcd's own client.
type bareEtcd struct{ client *engine.Client }

func (b *bareEtcd) write(ctx context.Context, ops []store.Op) error {
	var puts []engine.Op
	for _, op := range ops {
		puts = append(puts, engine.OpPut(bareNamespace+op.Key, string(op.Value)))
	}
	_, err := b.client.Txn(ctx).Then(puts...).Commit()
	return err
}

func (b *bareEtcd) load(ctx context.Context, ops []store.Op) error {
	for len(ops) > 0 {
		n := min(len(ops), store.MaxOps)
		if err := b.write(ctx, ops[:n]); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

func (b *bareEtcd) get(ctx context.Context, keys ...[]byte) error {
	for _, key := range keys {
		resp, err := b.client.Get(ctx, bareNamespace+string(key))
		if err == nil && len(resp.Kvs) != 1 {
			err = fmt.Errorf("the bare client finds no %s", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bareEtcd) list(ctx context.Context, prefix []byte, n int) error {
	resp, err := b.client.Get(ctx, bareNamespace+string(prefix), engine.WithPrefix(), engine.WithLimit(int64(n)))
	if err == nil && len(resp.Kvs) != n {
		err = fmt.Errorf("the bare client has %d records", len(resp.Kvs))
	}
	return err
}
