// Command client makes a project by a client that oapi-codegen generates from the OpenAPI document
// of a running control plane: the other part of this package, which e2e makes as docs/api.md says and
// nobody keeps. It is a module of its own, so that the product depends on no generator.
//
//	client URL CA-FILE ORGANIZATION PROJECT, with the token in MEZU_TOKEN
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	_ "github.com/oapi-codegen/runtime" // for the generated part
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, caFile, organization, project string) error {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := NewClientWithResponses(url,
		WithHTTPClient(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}),
		WithRequestEditorFn(func(_ context.Context, req *http.Request) error {
			req.Header.Set("Authorization", "Bearer "+os.Getenv("MEZU_TOKEN"))
			return nil
		}))
	if err != nil {
		return err
	}
	display := "Made by a generated client"
	body := ProjectInput{Name: project, DisplayName: &display, Roles: &map[string]ProjectRoleInput{"staff": {Permissions: []string{"orders.read"}}}}
	made, err := c.CreateProjectWithResponse(ctx, organization, nil, body)
	if err != nil {
		return err
	}
	if made.JSON201 == nil {
		return fmt.Errorf("creating it: %s %s", made.Status(), made.Body)
	}
	again, err := c.CreateProjectWithResponse(ctx, organization, nil, body)
	if err != nil {
		return err
	}
	if p := again.ApplicationproblemJSON409; p == nil || p.Code != "conflict" {
		return fmt.Errorf("creating it again: %s %s", again.Status(), again.Body)
	}
	// A patch needs nothing that a creation needs.
	display = "Changed by a generated client"
	changed, err := c.UpdateProjectWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, organization, made.JSON201.Id, nil, ProjectPatch{DisplayName: &display})
	if err != nil {
		return err
	}
	if changed.JSON200 == nil || changed.JSON200.Revision <= made.JSON201.Revision || changed.JSON200.Roles == nil {
		return fmt.Errorf("changing it: %s %s", changed.Status(), changed.Body)
	}
	size := 10
	page, err := c.ListProjectsWithResponse(ctx, organization, &ListProjectsParams{PageSize: &size})
	if err != nil {
		return err
	}
	if page.JSON200 == nil || len(page.JSON200.Items) != 1 || *page.JSON200.Items[0].DisplayName != display {
		return fmt.Errorf("listing it: %s %s", page.Status(), page.Body)
	}
	for _, item := range page.JSON200.Items {
		if item.CreatedAt.IsZero() {
			return errors.New("a project was made at no time")
		}
		fmt.Println(item.Id)
	}
	return nil
}
