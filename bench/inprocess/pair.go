package inprocess

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// pageSize is that of the listings that are timed, the API's default.
const pageSize = 100

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

// repeat takes a pair n times.
func repeat(n int, ours, bare func() error) (Pair, error) {
	var p Pair
	for range n {
		if err := p.take(ours, bare); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Kind is what is created, shown and listed.
type Kind struct {
	// Name is what tables call it.
	Name string
	// prefix begins the keys of its records.
	prefix string
	create func(ctx context.Context, in *Installation, i int) error
	show   func(ctx context.Context, in *Installation, item string) error
	list   func(ctx context.Context, in *Installation) (int, error)
}

// few is the directory of the users that are created one by one.
const few = "few"

// Kinds are an ordinary record, and one that has indexes and is sealed.
func Kinds() []Kind {
	organization := access.Path{Organization: "acme"}
	paging := record.Paging{Size: pageSize}
	return []Kind{
		{"project", "prj/", func(ctx context.Context, in *Installation, i int) error {
			_, err := in.service.CreateProject(ctx, in.caller, organization, mezu.Project{Name: fmt.Sprint("p", i)}, record.Idempotency{})
			return err
		}, func(ctx context.Context, in *Installation, item string) error {
			at := organization
			at.Project = item
			_, err := in.service.GetProject(ctx, in.caller, at)
			return err
		}, func(ctx context.Context, in *Installation) (int, error) {
			out, err := in.service.ListProjects(ctx, in.caller, organization, paging)
			return len(out.Items), err
		}},
		{"user", "user/", func(ctx context.Context, in *Installation, i int) error {
			_, err := in.service.Identity.CreateUser(ctx, in.caller, directoryPath(few), user(i), record.Idempotency{}, nil)
			return err
		}, func(ctx context.Context, in *Installation, item string) error {
			at := directoryPath(few)
			at.Item = item
			_, err := in.service.GetUser(ctx, in.caller, at)
			return err
		}, func(ctx context.Context, in *Installation) (int, error) {
			out, err := in.service.ListUsers(ctx, in.caller, directoryPath(few), mezu.UserFilter{}, paging)
			return len(out.Items), err
		}},
	}
}

// Times are what operations on one kind took.
type Times struct{ Create, Show, List Pair }

// Take makes records one after the other, and writes those of each, as the driver got
// them, with the engine alone, in turn. Then it shows the last one and lists a page,
// beside the engine that gets that record, or lists as many.
func (in *Installation) Take(ctx context.Context, k Kind, creates, shows, lists int) (t Times, err error) {
	if _, err := in.Fill(ctx, few, 1); err != nil {
		return t, err
	}
	t.Create, err = repeat(creates, func() error {
		in.created[k.Name]++
		return k.create(ctx, in, in.created[k.Name])
	}, func() error { return in.bare.write(ctx, in.driver.last.Load().Ops) })
	if err != nil {
		return t, err
	}
	key, err := in.last(k)
	if err != nil {
		return t, err
	}
	cut := strings.LastIndexByte(key, '/') + 1
	t.Show, err = repeat(shows, func() error { return k.show(ctx, in, key[cut:]) }, func() error { return in.bare.get(ctx, []byte(key)) })
	if err != nil {
		return t, err
	}
	t.List, err = repeat(lists, func() error {
		got, err := k.list(ctx, in)
		if err == nil && got != pageSize {
			err = fmt.Errorf("a page of %d", got)
		}
		return err
	}, func() error { return in.bare.list(ctx, []byte(key[:cut]), pageSize) })
	return t, err
}

// last is the key of the record of a kind in what was created last.
func (in *Installation) last(k Kind) (string, error) {
	for _, op := range in.driver.last.Load().Ops {
		if strings.HasPrefix(op.Key, k.prefix) {
			return op.Key, nil
		}
	}
	return "", fmt.Errorf("no %s was created last", k.Name)
}
