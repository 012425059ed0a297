package main

import (
	"context"
	"slices"
	"strings"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/domain/registry"
	"coffre/handlers/contract"
)

// textToShow returns what a citizen is shown before they consent that an organisation reads
// for a purpose: the text of the registry, in that language and version, filled in. Without a
// version it is the only one there is. A word asked for that the registry does not have is an
// error of usage.
func textToShow(ctx context.Context, c *client.Client, consumer domain.Organisation, purpose domain.Purpose, lang domain.Language, version string, asked ...askedWord) (contract.ShownText, error) {
	r, err := client.Read[contract.Registry](c.GetRegistry(ctx, contract.GetRegistryParams{}))
	if err != nil {
		return contract.ShownText{}, err
	}
	if err := unknownWord(r.Body, asked...); err != nil {
		return contract.ShownText{}, err
	}
	var texts []contract.RegistryConsentText
	var versions []string
	for _, t := range r.Body.ConsentTexts {
		if t.Purpose == purpose && (version == "" || t.Version == version) {
			texts, versions = append(texts, t), append(versions, t.Version)
		}
	}
	switch len(texts) {
	case 0:
		return contract.ShownText{}, usage("the registry has no text to show for this purpose and version")
	case 1:
	default:
		return contract.ShownText{}, usage("the registry has several versions of the text: say which with --text-version, one of %s", strings.Join(versions, ", "))
	}
	organisation := slices.IndexFunc(r.Body.Organizations, func(o contract.RegistryOrganization) bool { return o.EnterpriseNumber == consumer })
	why := slices.IndexFunc(r.Body.Purposes, func(p contract.RegistryCode) bool { return p.Code == string(purpose) })
	if organisation < 0 || why < 0 {
		return contract.ShownText{}, usage("the registry does not know this organisation or purpose")
	}
	text := registry.ShownText(label(texts[0].Texts, string(lang)), label(r.Body.Organizations[organisation].Labels, string(lang)), label(r.Body.Purposes[why].Labels, string(lang)))
	return contract.ShownText{Text: text, Language: lang, Version: texts[0].Version}, nil
}
