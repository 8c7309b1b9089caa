// Package near offers, for what is not there, the name that was most likely meant.
//
// What may not live here: commands, and what is printed. It imports the domain and api; cli
// imports it.
package near

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// listTime bounds the look for other names: somebody waits for an error.
const listTime = 3 * time.Second

// Offer adds to an error of the control plane about what is not there the name of what is, if
// one is like it, or else the command that lists what there is. It lists with the rights of the
// client; of what may not be listed, the error stays as it is.
func Offer(ctx context.Context, c *api.Client, err error) error {
	var e *mezu.Error
	var cause *api.ResponseError
	if !errors.As(err, &e) || !errors.As(e.Cause, &cause) {
		return err
	}
	if e.Code == mezu.CodeInvalid && strings.TrimLeft(e.Field, "-") == "directory" && len(cause.Params) > 1 {
		return offerDirectory(ctx, c, e, cause.Params)
	}
	if e.Code != mezu.CodeNotFound {
		return err
	}
	i := missing(e.Detail, cause)
	if i < 0 {
		return err
	}
	list, ok := listOf(cause.Operation, i)
	if !ok {
		return err
	}
	out := *e
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	self, failed := api.Invoke[api.Self](ctx, c, api.OpSelf, nil)
	if failed != nil || !mayList(self, list, cause.Params[:i]) {
		return err
	}
	names, failed := namesOf(ctx, c, list, cause.Params[:i])
	if meant := mezu.DidYouMean(cause.Params[i], names); meant != "" && failed == nil {
		out.Detail += meant
		out.Hint = "" // the name is what helps
		return &out
	}
	if out.Hint == "" {
		out.Hint = commandOf(list, cause.Params[:i])
	}
	return &out
}

// offerDirectory is Offer for a field that names a directory of the project or the organization.
func offerDirectory(ctx context.Context, c *api.Client, e *mezu.Error, params []string) error {
	_, word, ok := strings.Cut(e.Detail, "has a directory named ")
	if !ok {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	self, failed := api.Invoke[api.Self](ctx, c, api.OpSelf, nil)
	if failed != nil {
		return e
	}
	var names []string
	for _, at := range []struct {
		list   api.Operation
		params []string
	}{{api.OpListDirectories, params[:2]}, {api.OpListOrganizationDirectories, params[:1]}} {
		if mayList(self, at.list, at.params) {
			some, _ := namesOf(ctx, c, at.list, at.params)
			names = append(names, some...)
		}
	}
	out := *e
	out.Detail += mezu.DidYouMean(word, names)
	return &out
}

// missing is the index of the parameter that an error is about, or -1. The error names it as
// the control plane does: there is no environment "prodction".
func missing(detail string, cause *api.ResponseError) int {
	detail = strings.ToLower(detail)
	for i, param := range cause.Operation.Params() {
		if i < len(cause.Params) && strings.Contains(detail, fmt.Sprintf("no %s %s", strings.ReplaceAll(param, "_", " "), strings.ToLower(strconv.Quote(cause.Params[i])))) {
			return i
		}
	}
	return -1
}

// listOf is the operation that lists what the i-th parameter of another one names.
func listOf(op api.Operation, i int) (api.Operation, bool) {
	path, _, _ := strings.Cut(op.Path, "/{"+op.Params()[i]+"}")
	all := api.Operations()
	at := slices.IndexFunc(all, func(o api.Operation) bool { return o.Method == "GET" && o.Path == path })
	if at < 0 {
		return api.Operation{}, false
	}
	return all[at], true
}

// item is what names a record of a list.
type item struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// namesOf are the names of the first records of a list.
func namesOf(ctx context.Context, c *api.Client, list api.Operation, params []string) ([]string, error) {
	var page struct {
		Items  []item `json:"items"`
		Routes []item `json:"routes"`
	}
	call := api.Call{Operation: list, Params: params}
	if list.Lists() {
		call.Query = url.Values{"page_size": {strconv.Itoa(api.MaxPageSize)}}
	}
	err := c.Do(ctx, call, &page)
	var names []string
	for _, one := range slices.Concat(page.Items, page.Routes) {
		for _, name := range []string{one.Name, one.Email} {
			if name != "" {
				names = append(names, api.Printable(name))
			}
		}
	}
	return names, err
}

// commandOf is the command that lists the same; "" if there is none.
func commandOf(list api.Operation, params []string) string {
	switch noun := lastOf(list.Path); noun {
	case "organizations":
		return "mezu orgs list"
	case "projects", "members":
		return fmt.Sprintf("mezu %s list --org %s", noun, params[0])
	case "environments", "service-accounts":
		return fmt.Sprintf("mezu %s list --org %s --project %s", noun, params[0], params[1])
	case "routes", "warpgates":
		return fmt.Sprintf("mezu %s list --org %s --project %s --environment %s", noun, params[0], params[1], params[2])
	case "directories", "operators", "tokens", "edges":
		return "mezu " + noun + " list"
	}
	return ""
}
