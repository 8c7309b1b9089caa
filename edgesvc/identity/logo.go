package identity

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/logo"
)

// logoRecord is the logo of a directory. It changes together with the directory, which has
// its digest.
type logoRecord struct {
	SHA256 string      `json:"sha256"`
	Image  record.Blob `json:"image"`
}

// Logo is the logo of a directory given by its id: the bytes of a PNG, and their SHA-256 in
// hexadecimal. If there is none it says mezu.CodeNotFound. It is for the pages.
func (s *Identity) Logo(ctx context.Context, directory string) (image []byte, digest string, err error) {
	f, err := record.Get[logoRecord](ctx, s.records, keyLogo(directory))
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", noLogo()
	}
	if err != nil {
		return nil, "", err
	}
	image, err = s.records.ReadDocument(ctx, f.Value.Image)
	return image, f.Value.SHA256, err
}

func noLogo() error {
	return record.NotFound("logo", "the directory has none: set one with `mezu directories logo DIRECTORY FILE`")
}

// EncodeLogo makes a logo of the file of an image, and gives its digest too. known are the
// digests of logos that were made here: a file that is one of them is taken as it is. One is
// made at a time, because each takes a processor and some megabytes.
func (s *Identity) EncodeLogo(ctx context.Context, file []byte, known map[string]bool) (image []byte, digest string, err error) {
	if digest = logo.Digest(file); known[digest] {
		return file, digest, nil
	}
	select {
	case s.encoding <- struct{}{}:
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	defer func() { <-s.encoding }()
	if image, err = logo.Encode(file); err != nil {
		return nil, "", err
	}
	return image, logo.Digest(image), nil
}

// KeepLogo plans what becomes of the image when the digest in a directory's brand changes.
// image is that of the new digest, nil if there is none.
func (s *Identity) KeepLogo(ctx context.Context, ch *record.Change, sc access.Scope, dir mezu.Directory, image []byte) error {
	if dir.Brand.Logo == "" {
		s.dropLogo(ch, sc, dir.ID)
		return nil
	}
	kept, err := s.records.KeepDocument(ctx, ch, ownerOfLogo(sc, dir.ID), image)
	if err == nil {
		ch.Put(keyLogo(dir.ID), logoRecord{dir.Brand.Logo, kept})
	}
	return err
}

// dropLogo plans the removal of a directory's image.
func (s *Identity) dropLogo(ch *record.Change, sc access.Scope, directory string) {
	ch.Drop(keyLogo(directory))
	s.records.LeaveDocuments(ownerOfLogo(sc, directory))
}

// ownerOfLogo is whose document the image of a directory is.
func ownerOfLogo(sc access.Scope, directory string) record.Owner {
	return record.Owner{Tenant: sc.Organization.Value.ID, Name: directory}
}

// LogoOf names the document of a directory's logo, if it has one.
func (s *Identity) LogoOf(ctx context.Context, directory string, keep func(record.Blob)) error {
	f, err := record.Optional[logoRecord](ctx, s.records, keyLogo(directory))
	if err == nil {
		keep(f.Value.Image)
	}
	return err
}

// Logos names the documents of all logos.
func (s *Identity) Logos(ctx context.Context, keep func(record.Blob)) error {
	return record.Each(ctx, s.records, prefixLogo, func(f record.Record[logoRecord]) error {
		keep(f.Value.Image)
		return nil
	})
}

// GetLogo shows the logo of a directory.
func (s *Identity) GetLogo(ctx context.Context, c access.Caller, p access.Path) ([]byte, error) {
	sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpGetLogo, api.OpGetOrganizationLogo), p)
	if err != nil {
		return nil, err
	}
	image, _, err := s.Logo(ctx, sc.Directory.Value.ID)
	return image, err
}

// SetLogo makes the logo of a directory of the file of an image. One that makes the logo that
// is there changes nothing.
func (s *Identity) SetLogo(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, file []byte) (mezu.Directory, error) {
	image, digest, err := s.EncodeLogo(ctx, file, nil)
	if err != nil {
		return mezu.Directory{}, mezu.Below("logo", err)
	}
	return s.changeLogo(ctx, c, p.Either(api.OpSetLogo, api.OpSetOrganizationLogo), p, ifMatch, image, digest)
}

// DeleteLogo takes the logo of a directory away.
func (s *Identity) DeleteLogo(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	_, err := s.changeLogo(ctx, c, p.Either(api.OpDeleteLogo, api.OpDeleteOrganizationLogo), p, ifMatch, nil, "")
	return err
}

// changeLogo gives a directory another logo, or none.
func (s *Identity) changeLogo(ctx context.Context, c access.Caller, op api.Operation, p access.Path, ifMatch uint64, image []byte, digest string) (mezu.Directory, error) {
	var out mezu.Directory
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, err := s.directoryToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		dir := sc.Directory
		out = dir.Value
		out.Brand.Logo = digest
		switch {
		case digest == "" && dir.Value.Brand.Logo == "":
			return noLogo()
		case digest == dir.Value.Brand.Logo:
			return nil
		}
		out.Meta = s.records.Touch(dir.Value.Meta, dir.Revision)
		ch.Update(dir.Key, dir.Revision, out)
		ch.Audit(sc.Target(record.KindDirectory, out.ID, out.Name), dir.Value, out)
		return s.KeepLogo(ctx, ch, sc, out, image)
	})
	return out, err
}
