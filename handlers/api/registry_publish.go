package api

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"coffre/domain"
	"coffre/domain/registry"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/work"
	"coffre/projections/vocabulary"
)

// PublishRegistry implements POST /registry (rules ). The body holds
// the files of a registry directory by path. The registry is compiled before it
// is published, so that every process can serve it.
func (v *Vault) PublishRegistry(ctx context.Context, r contract.PublishRegistryRequestObject) (contract.PublishRegistryResponseObject, error) {
	type published struct {
		New     bool
		Receipt contract.RegistryReceipt
		At      contract.PositionToken
	}
	done, err := acting.Once(ctx, v.Recorder, r.Params.IdempotencyKey, func(ctx context.Context, in acting.Intent) (published, error) {
		files, err := filesOf(*r.Body)
		if err != nil {
			return published{}, err
		}
		all, err := vocabulary.Load(files, nil)
		if err != nil {
			return published{}, work.RegistryMistakes(err)
		}
		result, err := v.Publish(ctx, in, all)
		if err != nil {
			return published{}, err
		}
		at, err := v.PositionToken(ctx, result.Position)
		return published{New: len(result.Events) > 0, Receipt: registryReceipt(result.State), At: at}, err
	})
	switch {
	case err != nil:
		return nil, err
	case done.New:
		return contract.PublishRegistry201JSONResponse{Body: done.Receipt, Headers: contract.PublishRegistry201ResponseHeaders{CoffrePosition: done.At}}, nil
	}
	return contract.PublishRegistry200JSONResponse{Body: done.Receipt, Headers: contract.PublishRegistry200ResponseHeaders{CoffrePosition: done.At}}, nil
}

var errRegistryFiles = domain.NewError(domain.Invalid, "registryFiles", "the body names each file of a registry directory with its JSON object")

// filesOf returns a file system in memory with the files of a JSON object
// {"path": {...}, ...}.
func filesOf(body []byte) (fs.FS, error) {
	var files map[string]jsontext.Value
	if json.Unmarshal(body, &files) != nil || len(files) == 0 {
		return nil, errRegistryFiles
	}
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for name, content := range files {
		if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\\") {
			return nil, errRegistryFiles
		}
		for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
			if _, isFile := files[folder]; isFile {
				return nil, errRegistryFiles // one name of a file and of a folder
			}
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return nil, fmt.Errorf("pack registry files: %w", err)
		}
		if _, err := f.Write(content); err != nil {
			return nil, fmt.Errorf("pack registry files: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack registry files: %w", err)
	}
	return zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
}

func registryReceipt(s registry.State) contract.RegistryReceipt {
	return contract.RegistryReceipt{Version: s.Version, DocumentTypes: new(len(s.Registry.DocumentTypes)), Organizations: new(len(s.Registry.Organisations))}
}
