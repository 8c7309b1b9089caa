package record

import (
	"context"
	"slices"

	"github.com/mezusphere/mezu"
)

// CountUp counts one more record below a parent, or refuses it.
func (s *Records) CountUp(ctx context.Context, ch *Change, parent string, q Quota, counter func(*Children) *int) error {
	n, err := s.Counters(ctx, ch, parent)
	if err != nil {
		return err
	}
	at := counter(&n.Value)
	*at++
	return s.Within(q, *at)
}

// Children counts what hangs below a record, so that it can't be deleted while
// something is being added.
type Children struct {
	Projects     int `json:"projects,omitempty"`
	Environments int `json:"environments,omitempty"`
	Accounts     int `json:"accounts,omitempty"`
	Directories  int `json:"directories,omitempty"`
	// HadUsers: a directory has counted users, if only earlier.
	HadUsers bool `json:"had_users,omitempty"`
	// Operators are the installation's, Tokens a person's.
	Operators int `json:"operators,omitempty"`
	Tokens    int `json:"tokens,omitempty"`
	// Owners, Members and Invitations are an organization's.
	Owners      int `json:"owners,omitempty"`
	Members     int `json:"members,omitempty"`
	Invitations int `json:"invitations,omitempty"`
}

// Refuse is the answer to the deletion of an owner that still has n of something,
// or directories.
func (n Children) Refuse(owner, what string, of int) error {
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
	Record[Children]
	Gone bool
}

// Counters are those of a parent as the change leaves them so far. The pointer is
// good until the next call.
func (s *Records) Counters(ctx context.Context, ch *Change, parent string) (*counted, error) {
	key := KeyChildren(parent)
	if i := slices.IndexFunc(ch.counts, func(n counted) bool { return n.Key == key }); i >= 0 {
		return &ch.counts[i], nil
	}
	n, err := Optional[Children](ctx, s, key)
	if err != nil {
		return nil, err
	}
	ch.counts = append(ch.counts, counted{Record: n})
	return &ch.counts[len(ch.counts)-1], nil
}

// Count changes a parent's counters inside a change.
func (s *Records) Count(ctx context.Context, ch *Change, parent string, with func(*Children)) error {
	n, err := s.Counters(ctx, ch, parent)
	if err != nil {
		return err
	}
	with(&n.Value)
	return nil
}

// writeCounts writes each parent's counters once, however often they changed.
func (c *Change) writeCounts() {
	for _, n := range c.counts {
		if n.Gone {
			c.Remove(n.Key, n.Revision)
		} else {
			c.Update(n.Key, n.Revision, n.Value)
		}
	}
	c.counts = nil
}
