package record

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
	// TaskAccount: cut the Warpgates that a deleted account let in.
	TaskAccount taskKind = "account"
	// TaskEnvironment: cut the Warpgates of a deleted environment.
	TaskEnvironment taskKind = "environment"
	// TaskBundles: publish the bundles of a project's environments.
	TaskBundles taskKind = "bundles"
	// TaskDirectory: publish the bundles of the environments that name a directory.
	TaskDirectory taskKind = "directory"
	// TaskProject: remove the service accounts of a deleted project.
	TaskProject taskKind = "project"
	// TaskRoles: take roles that a project lost from users who got them
	// meanwhile.
	TaskRoles taskKind = "roles"
	// TaskEdge: forget what a deleted edge held.
	TaskEdge taskKind = "edge"
	// TaskMember: cut the Warpgates that a removed member let in.
	TaskMember taskKind = "member"
	// TaskOrganization: forget the members and invitations of a deleted
	// organization.
	TaskOrganization taskKind = "organization"
)

// Task is work that a change leaves for after its transaction. It is written in that
// transaction and removed when it is done, so that a process that ends in between leaves it
// to the next one. Doing it twice does no harm.
type Task struct {
	Kind taskKind `json:"kind"`
	ID   string   `json:"id"`
	// Project is that of a directory, empty if its owner is the organization.
	Project string `json:"project,omitempty"`
	// Organization and Person are a removed member's, Organization and Roles of
	// roles that a project lost, Organization also a directory's.
	Organization string   `json:"organization,omitempty"`
	Person       string   `json:"person,omitempty"`
	Roles        []string `json:"roles,omitempty"`
}

// Enqueue adds a task to the change that makes it necessary.
func (c *Change) Enqueue(t Task) { c.Put(KeyTask(t.Kind, t.ID), t) }

// TaskHandlers do the tasks, by their kind. A task of a kind that has none is dropped.
type TaskHandlers map[taskKind]func(context.Context, Task) error

// Handle adds the handlers of a noun.
func (s *Records) Handle(more TaskHandlers) { maps.Copy(s.handlers, more) }

// Finish does a task, unless it has been done since.
func (s *Records) Finish(ctx context.Context, t Task) error {
	key := KeyTask(t.Kind, t.ID)
	before, err := Optional[Task](ctx, s, key)
	if err != nil || before.Revision == 0 {
		return err
	}
	if do := s.handlers[t.Kind]; do != nil {
		if err := do(ctx, t); err != nil {
			return fmt.Errorf("finishing %s of %s: %w", t.Kind, t.ID, err)
		}
	}
	// The revision tells whether it was enqueued again meanwhile; then that one stays.
	_, err = s.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: key, Revision: before.Revision}}, Ops: []store.Op{{Key: key, Delete: true}}})
	return err
}

// FinishRest does every task that there is. It is called after a start.
func (s *Records) FinishRest(ctx context.Context) error {
	var tasks []Task
	err := Each(ctx, s, prefixTask, func(f Record[Task]) error {
		tasks = append(tasks, f.Value)
		return nil
	})
	return errors.Join(err, s.FinishAll(ctx, tasks))
}

// FinishAll does all of the tasks; one that fails does not keep the others from being done.
func (s *Records) FinishAll(ctx context.Context, tasks []Task) error {
	var err error
	for _, t := range tasks {
		err = errors.Join(err, s.Finish(ctx, t))
	}
	return err
}
