package config

import (
	"context"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// webhooks are those of one environment as they are stored, with their secrets: one record, which
// the store seals as all others.
type webhooks struct {
	Webhooks []mezu.WebhookSecrets `json:"webhooks"` // by name
	// SealedFor is the revision of the edges' keys for which they were last encrypted.
	SealedFor uint64 `json:"sealed_for,omitempty"`
}

// webhooksOf reads the webhooks of an environment.
func (s *Configuration) webhooksOf(ctx context.Context, environment string) (record.Record[webhooks], error) {
	return record.Optional[webhooks](ctx, s.records, keyWebhooks(environment))
}

// shownWebhook is a webhook as it is served: of its secrets it has the number.
func shownWebhook(w *mezu.WebhookSecrets) mezu.Webhook {
	out := w.Webhook
	out.Secrets = len(w.Secrets)
	return out
}

// findWebhook finds one by name or id.
func findWebhook(of []mezu.WebhookSecrets, ref string) (int, error) {
	i := slices.IndexFunc(of, func(w mezu.WebhookSecrets) bool { return ref != "" && (w.Name == ref || w.ID == ref) })
	if i < 0 {
		return i, record.NotFound("webhook", "")
	}
	return i, nil
}

// ListWebhooks lists an environment's.
func (s *Configuration) ListWebhooks(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Webhook], error) {
	out := api.List[mezu.Webhook]{Items: []mezu.Webhook{}}
	sc, err := s.access.InEnvironment(ctx, c, api.OpListWebhooks, p)
	if err != nil {
		return out, err
	}
	rec, err := s.webhooksOf(ctx, sc.Environment.Value.ID)
	if err != nil {
		return out, err
	}
	for i := range rec.Value.Webhooks {
		w := &rec.Value.Webhooks[i]
		switch {
		case page.Token != "" && w.Name <= page.Token:
		case page.Size > 0 && len(out.Items) == page.Size:
			out.NextPageToken = out.Items[len(out.Items)-1].Name
			return out, nil
		default:
			out.Items = append(out.Items, shownWebhook(w))
		}
	}
	return out, nil
}

// GetWebhook reads one.
func (s *Configuration) GetWebhook(ctx context.Context, c access.Caller, p access.Path) (mezu.Webhook, error) {
	sc, err := s.access.InEnvironment(ctx, c, api.OpGetWebhook, p)
	if err != nil {
		return mezu.Webhook{}, err
	}
	rec, err := s.webhooksOf(ctx, sc.Environment.Value.ID)
	if err != nil {
		return mezu.Webhook{}, err
	}
	i, err := findWebhook(rec.Value.Webhooks, p.Item)
	if err != nil {
		return mezu.Webhook{}, err
	}
	return shownWebhook(&rec.Value.Webhooks[i]), nil
}

// CreateWebhook adds one. It has no secret yet.
func (s *Configuration) CreateWebhook(ctx context.Context, c access.Caller, p access.Path, in mezu.Webhook, o record.Idempotency) (mezu.Webhook, error) {
	var out mezu.Webhook
	_, err := s.records.Publish(ctx, access.By(c, api.OpCreateWebhook.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpCreateWebhook, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.Webhook, error) {
			rec, err := s.webhooksOf(ctx, sc.Environment.Value.ID)
			if err != nil {
				return in, err
			}
			if _, err := findWebhook(rec.Value.Webhooks, in.Name); err == nil {
				return in, &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "there is a webhook " + in.Name + " already", Hint: "change that one, or give this one another name"}
			}
			next, err := s.addWebhook(rec.Value.Webhooks, in)
			if err != nil {
				return in, err
			}
			i, _ := findWebhook(next, in.Name)
			out := shownWebhook(&next[i])
			ch.Audit(sc.Target(record.KindWebhook, out.ID, out.Name), nil, out)
			return out, s.setWebhooks(ctx, ch, sc, rec, next)
		})
		return err
	})
	return out, err
}

// addWebhook adds a webhook to others, in the order of their names.
func (s *Configuration) addWebhook(to []mezu.WebhookSecrets, in mezu.Webhook) ([]mezu.WebhookSecrets, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if err := s.records.Within(quotaWebhooks, len(to)+1); err != nil {
		return nil, err
	}
	in.Meta, in.Secrets = s.records.Meta(mezu.PrefixWebhook), 0
	out := append(slices.Clone(to), mezu.WebhookSecrets{Webhook: in})
	slices.SortFunc(out, func(a, b mezu.WebhookSecrets) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// changeWebhook changes one of an environment's.
func (s *Configuration) changeWebhook(ctx context.Context, c access.Caller, op api.Operation, p access.Path, ifMatch uint64, with func(*mezu.WebhookSecrets) error) (mezu.Webhook, error) {
	var out mezu.Webhook
	_, err := s.records.Publish(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, op, p)
		if err != nil {
			return err
		}
		rec, err := s.webhooksOf(ctx, sc.Environment.Value.ID)
		if err != nil {
			return err
		}
		i, err := findWebhook(rec.Value.Webhooks, p.Item)
		if err != nil {
			return err
		}
		next := slices.Clone(rec.Value.Webhooks)
		was, now := &rec.Value.Webhooks[i], &next[i]
		if err := record.CheckRevision(ifMatch, was.Revision); err != nil {
			return err
		}
		now.Secrets = slices.Clone(was.Secrets)
		if err := with(now); err != nil {
			return err
		}
		if err := record.FixedName(was.Name, now.Name); err != nil {
			return err
		}
		if err := now.Validate(); err != nil {
			return err
		}
		now.Meta = s.records.Touch(was.Meta, was.Revision)
		out = shownWebhook(now)
		ch.Audit(sc.Target(record.KindWebhook, out.ID, out.Name), shownWebhook(was), out)
		return s.setWebhooks(ctx, ch, sc, rec, next)
	})
	return out, err
}

// UpdateWebhook changes how deliveries are verified. Another provider takes other secrets: those
// that were set are forgotten.
func (s *Configuration) UpdateWebhook(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Webhook) error) (mezu.Webhook, error) {
	return s.changeWebhook(ctx, c, api.OpUpdateWebhook, p, ifMatch, func(w *mezu.WebhookSecrets) error {
		provider := w.Provider
		if err := with(&w.Webhook); err != nil {
			return err
		}
		if w.Provider != provider {
			w.Secrets = nil
		}
		return nil
	})
}

// SetWebhookSecret gives a webhook a secret. The one before stays valid beside it, unless only the
// newest is to.
func (s *Configuration) SetWebhookSecret(ctx context.Context, c access.Caller, p access.Path, in api.WebhookSecretRequest) (mezu.Webhook, error) {
	return s.changeWebhook(ctx, c, api.OpSetWebhookSecret, p, 0, func(w *mezu.WebhookSecrets) error {
		if in.Secret == "" && !in.Only {
			return mezu.Invalid("secret", "is empty")
		}
		if in.Secret != "" {
			if _, _, err := w.Provider.WebhookKey(in.Secret); err != nil {
				return err
			}
			w.Secrets = slices.DeleteFunc(w.Secrets, func(other string) bool { return other == in.Secret })
			w.Secrets = slices.Insert(w.Secrets, 0, in.Secret)
		}
		most := mezu.MaxWebhookSecrets
		if in.Only {
			most = 1
		}
		w.Secrets = w.Secrets[:min(len(w.Secrets), most)]
		return nil
	})
}

// DeleteWebhook removes one. Routes that name it answer 503 from then on.
func (s *Configuration) DeleteWebhook(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	_, err := s.records.Publish(ctx, access.By(c, api.OpDeleteWebhook.ID), func(ch *record.Change) error {
		sc, err := s.access.InEnvironment(ctx, c, api.OpDeleteWebhook, p)
		if err != nil {
			return err
		}
		rec, err := s.webhooksOf(ctx, sc.Environment.Value.ID)
		if err != nil {
			return err
		}
		i, err := findWebhook(rec.Value.Webhooks, p.Item)
		if err != nil {
			return err
		}
		was := shownWebhook(&rec.Value.Webhooks[i])
		if err := record.CheckRevision(ifMatch, was.Revision); err != nil {
			return err
		}
		ch.Audit(sc.Target(record.KindWebhook, was.ID, was.Name), was, nil)
		return s.setWebhooks(ctx, ch, sc, rec, slices.Delete(slices.Clone(rec.Value.Webhooks), i, i+1))
	})
	return err
}

// setWebhooks writes an environment's webhooks, and what edges get of them.
func (s *Configuration) setWebhooks(ctx context.Context, ch *record.Change, sc access.Scope, rec record.Record[webhooks], next []mezu.WebhookSecrets) error {
	ch.Require(sc.Environment.Key, sc.Environment.Revision)
	return s.addEdgePart(ctx, ch, sc.Organization.Value.ID, sc.Environment.Value.ID, rec, next)
}

// warnOfWebhooks names those routes whose webhook is not there, or has no secret, as Warnings of
// package mezu does what it can tell by the routes alone.
func (s *Configuration) warnOfWebhooks(ctx context.Context, environment string, routes []mezu.Route) (out []string, err error) {
	var rec record.Record[webhooks]
	for i := range routes {
		name := routes[i].Webhook()
		if name == "" {
			continue
		}
		if rec.Key == "" {
			if rec, err = s.webhooksOf(ctx, environment); err != nil {
				return nil, err
			}
		}
		if len(out) == mezu.MaxWarnings {
			return append(out, "and more routes whose webhook has no secret"), nil
		}
		label := routes[i].Label()
		switch at, err := findWebhook(rec.Value.Webhooks, name); {
		case err != nil:
			out = append(out, label+": the environment has no webhook "+name+"; the route answers 503 "+string(mezu.CodeRouteUnavailable))
		case len(rec.Value.Webhooks[at].Secrets) == 0:
			out = append(out, label+": the webhook "+name+" has no secret yet; the route answers 503 "+string(mezu.CodeRouteUnavailable))
		}
	}
	return out, nil
}
