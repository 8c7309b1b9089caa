package rest

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// picture is an answer that is a PNG and not JSON.
type picture struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// bindLogos binds what is about the logos of directories.
func (r *rest) bindLogos() {
	s := r.service
	for _, op := range []api.Operation{api.OpGetLogo, api.OpGetOrganizationLogo} {
		r.bound[op.ID] = true
		doc := r.description(op)
		r.doc.File(&doc, api.LogoType)
		huma.Register(r.huma, doc, func(ctx context.Context, _ *bare) (*picture, error) {
			a, err := serve(ctx, r, 0, shown(s.GetLogo))
			if err != nil {
				return nil, err
			}
			return &picture{api.LogoType, a.Body}, nil
		})
	}
	for _, op := range []api.Operation{api.OpSetLogo, api.OpSetOrganizationLogo} {
		r.bound[op.ID] = true
		huma.Register(r.huma, r.description(op), func(ctx context.Context, _ *bare) (*answer[mezu.Directory], error) {
			return serve(ctx, r, mezu.MaxLogo, func(ctx context.Context, req *request) (mezu.Directory, error) {
				file, err := req.image()
				if err != nil {
					return mezu.Directory{}, err
				}
				ifMatch, err := req.ifMatch()
				if err != nil {
					return mezu.Directory{}, err
				}
				return s.SetLogo(ctx, req.caller, req.path, ifMatch, file)
			})
		})
		r.doc.TakesFile(op, api.LogoType, "image/jpeg", "image/gif")
	}
	for _, op := range []api.Operation{api.OpDeleteLogo, api.OpDeleteOrganizationLogo} {
		remove(r, op, removed(s.DeleteLogo))
	}
}
