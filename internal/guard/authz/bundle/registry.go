package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/crenel-project/crenel/config"
)

// maxManifest bounds a manifest or index: the OCI distribution specification
// names 4 MiB as what registries must take.
const maxManifest = 4 << 20

// oci is a bundle in a registry (OCI distribution specification 1.1): the first
// layer of type tar+gzip of an image.
type oci struct {
	cfg  *config.Bundle
	repo *remote.Repository
	http interface{ CloseIdleConnections() }
}

func newOCI(c *config.Bundle) (*oci, error) {
	scheme, ref, _ := strings.Cut(c.URL, "://")
	parsed, err := registry.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%s is not the address of an image: %w", c.URL, err)
	}
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	repo, err := remote.NewRepository(ref)
	if err != nil {
		return nil, fmt.Errorf("%s is not the address of an image: %w", c.URL, err)
	}
	if repo.Reference.Reference == "" {
		repo.Reference.Reference = "latest"
	}
	repo.PlainHTTP = scheme == "oci+http"
	repo.MaxMetadataBytes = maxManifest
	var cred auth.Credential
	switch {
	case !c.Token.IsZero():
		cred.AccessToken = c.Token.Reveal()
	case c.Basic != nil:
		cred.Username, cred.Password = c.Basic.User, c.Basic.Password.Reveal()
	}
	ac := &auth.Client{Client: client, Cache: auth.NewCache()}
	if cred != auth.EmptyCredential {
		ac.Credential = auth.StaticCredential(parsed.Registry, cred)
	}
	ac.SetUserAgent("crenel")
	repo.Client = ac
	return &oci{cfg: c, repo: repo, http: client}, nil
}

func (o *oci) close() { o.http.CloseIdleConnections() }

func (o *oci) ask(ctx context.Context, etag string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeout)
	defer cancel()
	desc, err := o.repo.Resolve(ctx, o.repo.Reference.Reference)
	if err != nil {
		return nil, fmt.Errorf("asking the registry: %w", err)
	}
	now := desc.Digest.String()
	if now == etag {
		return &answer{unchanged: true, etag: etag}, nil
	}
	layer, err := o.layer(ctx, desc, 0)
	if err != nil {
		return nil, err
	}
	if layer.Size > int64(o.cfg.Size) {
		return nil, fmt.Errorf("the archive is %d bytes, more than size allows (%s)", layer.Size, o.cfg.Size)
	}
	rc, err := o.repo.Blobs().Fetch(ctx, layer)
	if err != nil {
		return nil, fmt.Errorf("downloading: %w", err)
	}
	defer rc.Close()
	data, err := orascontent.ReadAll(rc, layer) // of its size, and its digest verified
	if err != nil {
		return nil, fmt.Errorf("downloading: %w", err)
	}
	return &answer{archive: data, etag: now}, nil
}

// layer finds the archive of an image, or of the first image of an index.
func (o *oci) layer(ctx context.Context, desc ocispec.Descriptor, depth int) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	if desc.Size > maxManifest || desc.Size < 0 {
		return none, fmt.Errorf("the image's manifest is %d bytes", desc.Size)
	}
	rc, err := o.repo.Fetch(ctx, desc)
	if err != nil {
		return none, fmt.Errorf("fetching the image's manifest: %w", err)
	}
	defer rc.Close()
	data, err := orascontent.ReadAll(rc, desc)
	if err != nil {
		return none, fmt.Errorf("fetching the image's manifest: %w", err)
	}
	var m struct {
		Layers    []ocispec.Descriptor `json:"layers"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return none, errors.New("the image's manifest is not JSON")
	}
	for _, l := range m.Layers {
		if strings.HasSuffix(l.MediaType, "tar+gzip") || strings.HasSuffix(l.MediaType, ".tar.gzip") {
			return l, nil
		}
	}
	if len(m.Manifests) > 0 && depth == 0 {
		return o.layer(ctx, m.Manifests[0], depth+1)
	}
	return none, errors.New("the image has no layer of type tar+gzip: is it a bundle?")
}
