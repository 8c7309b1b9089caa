package service

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// taskKind is what a change left to do that did not fit its transaction.
type taskKind string

const (
	// taskAccount: cut the Warpgates that a deleted account let in.
	taskAccount taskKind = "account"
	// taskEnvironment: cut the Warpgates of a deleted environment.
	taskEnvironment taskKind = "environment"
	// taskBundles: publish the bundles of a project's environments.
	taskBundles taskKind = "bundles"
	// taskProject: remove the service accounts of a deleted project.
	taskProject taskKind = "project"
	// taskRoles: take roles that a project lost from users who got them
	// meanwhile.
	taskRoles taskKind = "roles"
	// taskEdge: forget what a deleted edge held.
	taskEdge taskKind = "edge"
	// taskMember: cut the Warpgates that a removed member let in.
	taskMember taskKind = "member"
	// taskOrganization: forget the members and invitations of a deleted
	// organization.
	taskOrganization taskKind = "organization"
)

// task is written in the transaction of the change that owes it and removed
// when it is done, so that a process that ends in between leaves it to the next.
// Doing it twice does no harm.
type task struct {
	Kind    taskKind `json:"kind"`
	ID      string   `json:"id"`
	Project string   `json:"project,omitempty"`
	// Organization and Person are a removed member's, Organization and Roles of
	// roles that a project lost.
	Organization string   `json:"organization,omitempty"`
	Person       string   `json:"person,omitempty"`
	Roles        []string `json:"roles,omitempty"`
}

// enqueue adds a task to the change that makes it necessary.
func (c *change) enqueue(t task) { c.put(keyTask(t.Kind, t.ID), t) }

// taskHandlers do the tasks, by their kind. A task of a kind that has none is dropped.
type taskHandlers map[taskKind]func(context.Context, task) error

// handle adds the handlers of a noun.
func (s *Records) handle(more taskHandlers) { maps.Copy(s.handlers, more) }

// settle does a task, unless it was done since.
func (s *Records) settle(ctx context.Context, t task) error {
	key := keyTask(t.Kind, t.ID)
	before, err := optional[task](ctx, s, key)
	if err != nil || before.Revision == 0 {
		return err
	}
	if do := s.handlers[t.Kind]; do != nil {
		if err := do(ctx, t); err != nil {
			return fmt.Errorf("finishing %s of %s: %w", t.Kind, t.ID, err)
		}
	}
	// The revision tells whether it was enqueued again meanwhile; then that one stays.
	_, err = s.housekeep(ctx, store.Txn{Checks: []store.Check{{Key: key, Revision: before.Revision}}, Ops: []store.Op{{Key: key, Delete: true}}})
	return err
}

// Settle does every task that is there, as after a start.
func (s *Records) Settle(ctx context.Context) error {
	var tasks []task
	err := each(ctx, s, prefixTask, func(f found[task]) error {
		tasks = append(tasks, f.Value)
		return nil
	})
	return errors.Join(err, s.settleAll(ctx, tasks))
}

// settleAll does all of them; one that fails does not keep the others from being done.
func (s *Records) settleAll(ctx context.Context, tasks []task) error {
	var err error
	for _, t := range tasks {
		err = errors.Join(err, s.settle(ctx, t))
	}
	return err
}
