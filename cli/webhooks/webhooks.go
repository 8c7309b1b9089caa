// Package webhooks is "mezu webhooks": how deliveries of providers are verified, on the command
// line.
//
// What may not live here: other nouns. It imports the domain, api, namedfile and the packages of
// cli that every command uses; cli imports it.
package webhooks

import (
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu webhooks".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change and delete webhooks, and set their secrets",
		n.NewList(inv), n.NewShow(inv), n.NewCreate(inv, flags(), fromFlags), n.NewUpdate(inv, flags(), patchOf), newSetSecret(inv, runSetSecret), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Webhook] {
	columns := []terminal.Column[mezu.Webhook]{
		{Head: "NAME", Rank: terminal.Name, Value: func(w mezu.Webhook) string { return w.Name }},
		{Head: "PROVIDER", Value: func(w mezu.Webhook) string { return string(w.Provider) }},
		{Head: "TOLERANCE", Value: func(w mezu.Webhook) string { return mezu.Duration(w.TimeTolerance()).String() }},
		{Head: "SECRETS", Value: func(w mezu.Webhook) string { return strconv.Itoa(w.Secrets) }},
	}
	return collection.Noun[mezu.Webhook]{
		Name: "webhooks", One: "webhook", Many: "webhooks",
		Operations: collection.Operations{In: collection.InEnvironment, List: api.OpListWebhooks, Get: api.OpGetWebhook, Create: api.OpCreateWebhook, Update: api.OpUpdateWebhook, Delete: api.OpDeleteWebhook},
		Label:      func(w mezu.Webhook) string { return w.Name }, Columns: columns,
		Details: slices.Concat(columns, []terminal.Column[mezu.Webhook]{
			{Head: "HEADER", Value: of(func(h *mezu.WebhookHMAC) string { return h.Header })},
			{Head: "PREFIX", Value: of(func(h *mezu.WebhookHMAC) string { return h.Prefix })},
			{Head: "ENCODING", Value: of(func(h *mezu.WebhookHMAC) string { return string(h.Encoding) })},
			{Head: "ALGORITHM", Value: of(func(h *mezu.WebhookHMAC) string { return string(h.Algorithm) })},
			{Head: "TEMPLATE", Value: of(func(h *mezu.WebhookHMAC) string { return h.Template })},
		}, collection.Meta(func(w mezu.Webhook) mezu.Meta { return w.Meta })),
		Empty:    "mezu webhooks create NAME --provider github makes one",
		Deletion: collection.Deletion[mezu.Webhook]{Note: "with its secrets; routes that name it answer 503"},
	}
}

// of gives a part of how another provider signs.
func of(part func(*mezu.WebhookHMAC) string) func(mezu.Webhook) string {
	return func(w mezu.Webhook) string {
		if w.HMAC == nil {
			return ""
		}
		return part(w.HMAC)
	}
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "provider", Usage: "who signs: `PROVIDER` is github, gitlab, stripe, slack, shopify, twilio, standard or hmac"},
		invocation.SpanFlag("tolerance", "take deliveries whose time is at most `TIME` away", 0, mezu.DefaultWebhookTolerance.String()),
		&cli.StringFlag{Name: "hmac-header", Usage: "of the provider hmac: the `HEADER` with the signature"},
		&cli.StringFlag{Name: "hmac-prefix", Usage: "of the provider hmac: the `TEXT` before the signature, such as sha256="},
		&cli.StringFlag{Name: "hmac-encoding", Usage: "of the provider hmac: `ENCODING` is hex or base64", DefaultText: string(mezu.WebhookHex)},
		&cli.StringFlag{Name: "hmac-algorithm", Usage: "of the provider hmac: `HASH` is sha256, sha512 or sha1", DefaultText: string(mezu.WebhookSHA256)},
		&cli.StringFlag{Name: "hmac-template", Usage: "of the provider hmac: what is signed, `TEXT` with {body}, {method}, {path}, {query}, {header:NAME}, {timestamp:NAME}, {id:NAME}", DefaultText: "{body}"},
	}
}

// hmacFlags are the flags of the provider hmac, with the fields that they set.
var hmacFlags = map[string]string{"hmac-header": "header", "hmac-prefix": "prefix", "hmac-encoding": "encoding", "hmac-algorithm": "algorithm", "hmac-template": "template"}

func fromFlags(c *cli.Context, name string) (any, error) {
	w := mezu.Webhook{Name: name, Provider: mezu.WebhookProvider(c.String("provider")), Tolerance: mezu.Duration(invocation.Span(c, "tolerance"))}
	for flag := range hmacFlags {
		if c.IsSet(flag) {
			w.HMAC = &mezu.WebhookHMAC{Header: c.String("hmac-header"), Prefix: c.String("hmac-prefix"), Encoding: mezu.WebhookEncoding(c.String("hmac-encoding")),
				Algorithm: mezu.WebhookAlgorithm(c.String("hmac-algorithm")), Template: c.String("hmac-template")}
		}
	}
	return w, w.Validate()
}

func patchOf(c *cli.Context) (map[string]any, error) {
	patch, hmac := map[string]any{}, map[string]any{}
	if c.IsSet("provider") {
		patch["provider"] = c.String("provider")
		if c.String("provider") != string(mezu.WebhookHMACed) {
			patch["hmac"] = nil
		}
	}
	if c.IsSet("tolerance") {
		patch["tolerance"] = time.Duration(invocation.Span(c, "tolerance")).String()
	}
	for flag, field := range hmacFlags {
		if c.IsSet(flag) {
			hmac[field] = c.String(flag)
			patch["hmac"] = hmac
		}
	}
	return patch, nil
}
