package service

import (
	"context"
	"slices"

	"github.com/mezusphere/mezu"
)

// add counts one more record below a parent, or refuses it.
func (s *Records) add(ctx context.Context, ch *change, parent string, q quota, counter func(*children) *int) error {
	n, err := s.counters(ctx, ch, parent)
	if err != nil {
		return err
	}
	at := counter(&n.Value)
	*at++
	return s.within(q, *at)
}

// children counts what hangs below a record, so that it can't be deleted while
// something is being added.
type children struct {
	Projects     int `json:"projects,omitempty"`
	Environments int `json:"environments,omitempty"`
	Accounts     int `json:"accounts,omitempty"`
	Directories  int `json:"directories,omitempty"`
	// HadUsers: a directory has counted users (countUsers), if only earlier.
	HadUsers bool `json:"had_users,omitempty"`
	// Operators are the installation's, Tokens a person's.
	Operators int `json:"operators,omitempty"`
	Tokens    int `json:"tokens,omitempty"`
	// Owners, Members and Invitations are an organization's.
	Owners      int `json:"owners,omitempty"`
	Members     int `json:"members,omitempty"`
	Invitations int `json:"invitations,omitempty"`
}

// refuse is the answer to the deletion of an owner that still has n of something,
// or directories.
func (n children) refuse(owner, what string, of int) error {
	if of == 0 {
		what, of = "directories", n.Directories
	}
	if of == 0 {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: owner + " still has " + what, Hint: "delete them first"}
}

// counted is a parent's counters as a change leaves them; gone says that they are
// deleted with their parent.
type counted struct {
	found[children]
	gone bool
}

// counters are those of a parent as the change leaves them so far. The pointer is
// good until the next call.
func (s *Records) counters(ctx context.Context, ch *change, parent string) (*counted, error) {
	key := keyChildren(parent)
	if i := slices.IndexFunc(ch.counts, func(n counted) bool { return n.Key == key }); i >= 0 {
		return &ch.counts[i], nil
	}
	n, err := optional[children](ctx, s, key)
	if err != nil {
		return nil, err
	}
	ch.counts = append(ch.counts, counted{found: n})
	return &ch.counts[len(ch.counts)-1], nil
}

// count changes a parent's counters inside a change.
func (s *Records) count(ctx context.Context, ch *change, parent string, with func(*children)) error {
	n, err := s.counters(ctx, ch, parent)
	if err != nil {
		return err
	}
	with(&n.Value)
	return nil
}

// writeCounts writes each parent's counters once, however often they changed.
func (c *change) writeCounts() {
	for _, n := range c.counts {
		if n.gone {
			c.remove(n.Key, n.Revision)
		} else {
			c.update(n.Key, n.Revision, n.Value)
		}
	}
	c.counts = nil
}
