package control

import "context"

// TestOnlyTidy is what the process does every service.TidyInterval.
func (c *Control) TestOnlyTidy(ctx context.Context) error { return c.service.TidyDocuments(ctx) }
