package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// sbom returns the bill of materials as CycloneDX has it: the program, every module that is linked
// into it as the binary itself says, Go's standard library, and the certificates of the image.
func (m made) sbom() ([]byte, error) {
	bom := cdx.NewBOM()
	sum := sha256.Sum256(m.content)
	bom.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, sum[:]).String() // of the binary: the same for the same
	main := m.component(debug.Module{Path: m.info.Main.Path, Version: m.version})
	main.Type = cdx.ComponentTypeApplication
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sha256Of(m.content)}}
	bom.Metadata = &cdx.Metadata{Timestamp: m.at.Format(time.RFC3339), Component: &main}

	standard := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: "std", Version: strings.TrimPrefix(m.info.GoVersion, "go")}
	standard.PackageURL = "pkg:golang/std@" + standard.Version
	standard.BOMRef = standard.PackageURL
	roots := authorities()
	certificates := cdx.Component{
		Type: cdx.ComponentTypeFile, BOMRef: "file:etc/ssl/certs/ca-certificates.crt", Name: "/etc/ssl/certs/ca-certificates.crt",
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sha256Of(roots)}},
	}
	parts := []cdx.Component{standard, certificates}
	for _, module := range m.info.Deps {
		one := *module
		for one.Replace != nil {
			one = *one.Replace
		}
		part := m.component(one)
		if hash, ok := hashOf(one.Sum); ok {
			part.Hashes = &[]cdx.Hash{hash}
		}
		parts = append(parts, part)
	}
	bom.Components = &parts
	refs := make([]string, len(parts))
	for i, part := range parts {
		refs[i] = part.BOMRef
	}
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}

	var text bytes.Buffer
	err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return text.Bytes(), err
}

func (m made) component(module debug.Module) cdx.Component {
	at := fmt.Sprintf("pkg:golang/%s@%s?type=module", module.Path, url.PathEscape(module.Version))
	return cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: at, Name: module.Path, Version: module.Version, PackageURL: at}
}

// hashOf returns the hash of a module as go.sum has it, which is over its files.
func hashOf(sum string) (cdx.Hash, bool) {
	text, ok := strings.CutPrefix(sum, "h1:")
	if !ok {
		return cdx.Hash{}, false
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return cdx.Hash{}, false
	}
	return cdx.Hash{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", raw)}, true
}
