package inprocess

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Lookup finds one user of a directory by mail, a different one each time.
func (in *Installation) Lookup(ctx context.Context, directory string) (time.Duration, error) {
	address := mail(rand.IntN(in.made[directory]))
	begin := time.Now()
	out, err := in.service.ListUsers(ctx, in.caller, directoryPath(directory), mezu.UserFilter{Email: address}, record.Paging{})
	took := time.Since(begin)
	if err == nil && (len(out.Items) != 1 || out.Items[0].Profile.Email != address) {
		err = fmt.Errorf("%s finds %d users", address, len(out.Items))
	}
	return took, err
}

// keys are many keys of one length, packed.
type keys struct {
	packed []byte
	length int
}

func (k *keys) add(key string) {
	k.length = len(key)
	k.packed = append(k.packed, key...)
}

// any is one of them by chance.
func (k *keys) any() []byte {
	i := rand.IntN(len(k.packed)/k.length) * k.length
	return k.packed[i : i+k.length]
}

// CopyBare writes the records that lookups in a directory read, as the driver has them,
// with the engine alone, and remembers their keys.
func (in *Installation) CopyBare(ctx context.Context, directory string) error {
	dir, err := in.service.GetDirectory(ctx, in.caller, directoryPath(directory))
	if err != nil {
		return err
	}
	var copied [2]keys
	for i, kind := range []string{"mail/", "user/"} {
		for token := ""; ; {
			page, err := in.driver.List(ctx, kind+dir.ID+"/", token, store.MaxPage)
			if err != nil {
				return err
			}
			var ops []store.Op
			for _, r := range page.Records {
				copied[i].add(r.Key)
				ops = append(ops, store.Op{Key: r.Key, Value: r.Value})
			}
			if err := in.bare.load(ctx, ops); err != nil {
				return err
			}
			if token = page.Next; token == "" {
				break
			}
		}
	}
	in.copied[directory] = copied
	return nil
}

// LookupBare gets a record of the index and one of a user of a directory with the
// engine alone, others each time.
func (in *Installation) LookupBare(ctx context.Context, directory string) (time.Duration, error) {
	copied := in.copied[directory]
	index, user := copied[0].any(), copied[1].any()
	begin := time.Now()
	err := in.bare.get(ctx, index, user)
	return time.Since(begin), err
}

// Filters by which pages are timed.
func Filters() []string { return []string{"", "status=inactive", "role=shop/role1"} }

// Page lists the first page that a filter chooses, or one of the last.
func (in *Installation) Page(ctx context.Context, directory, filter string, last bool) (time.Duration, error) {
	f, err := mezu.ParseUserFilter(filter)
	if err != nil {
		return 0, err
	}
	page := record.Paging{Size: pageSize}
	if last {
		if page.Token, err = in.toLast(ctx, directory, filter, f); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	out, err := in.service.ListUsers(ctx, in.caller, directoryPath(directory), f, page)
	took := time.Since(begin)
	if err == nil && len(out.Items) != pageSize {
		err = fmt.Errorf("a page of %d users", len(out.Items))
	}
	return took, err
}

// toLast walks through a listing once and remembers the way to a page near its end.
func (in *Installation) toLast(ctx context.Context, directory, filter string, f mezu.UserFilter) (string, error) {
	if in.lastPage[directory] == nil {
		in.lastPage[directory] = pageTokens{}
	}
	if token, known := in.lastPage[directory][filter]; known {
		return token, nil
	}
	token, seen := "", 0
	for next := ""; ; {
		out, err := in.service.ListUsers(ctx, in.caller, directoryPath(directory), f, record.Paging{Size: pageSize, Token: next})
		if err != nil {
			return "", err
		}
		if seen += len(out.Items); len(out.Items) == pageSize {
			token = next
		}
		if next = out.NextPageToken; next == "" {
			break
		}
	}
	if filter == "" && seen != in.made[directory] {
		return "", fmt.Errorf("the listing of %s has %d users of %d", directory, seen, in.made[directory])
	}
	in.lastPage[directory][filter] = token
	return token, nil
}
