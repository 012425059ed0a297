package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"

	"coffre/handlers/contract"
)

// pageOfDocuments bounds the documents on one page.
const pageOfDocuments = 50

type walletView struct {
	groups []group
	count  string
	next   string // address of the documents that follow; "": none
}

// group is documents of one category of data.
type group struct {
	label     string
	documents []documentView
}

type documentView struct {
	href, label, state, validity, issuer string
	files                                string // how many; "": none
	readers                              []string
	represented                          bool
}

// serveWallet shows what a citizen holds, by categories in the order of the registry.
func (p *Pages) serveWallet(w http.ResponseWriter, r *http.Request, s session) error {
	pg := s.pageOf("wallet.title", "people.wallet")
	if s.of == "" && s.caller.Citizen.IsZero() { // the vault does not know them
		return p.show(w, r, http.StatusOK, walletPage(pg, walletView{}))
	}
	query := url.Values{"lang": {string(s.tongue)}, "pageSize": {strconv.Itoa(pageOfDocuments)}}
	if after := r.URL.Query().Get("after"); after != "" {
		query.Set("after", after)
	}
	wallet, err := get[contract.Wallet](r.Context(), p, s, "/citizens/"+s.whose()+"/wallet", query)
	if err != nil {
		return err
	}
	registry, err := get[contract.Registry](r.Context(), p, session{}, "/registry", nil)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, walletPage(pg, pg.wallet(wallet, registry)))
}

// wallet puts an answer of the API into words.
func (l page) wallet(wallet contract.Wallet, registry contract.Registry) walletView {
	categories := make(map[contract.DocumentTypeCode]string)
	for _, t := range registry.DocumentTypes {
		if len(t.Categories) > 0 {
			categories[t.DocumentType] = string(t.Categories[0])
		}
	}
	by := make(map[string][]documentView)
	for _, item := range wallet.Items {
		of := categories[item.DocumentType]
		by[of] = append(by[of], l.document(item))
	}
	v := walletView{count: strconv.Itoa(len(wallet.Items))}
	if wallet.NextCursor != "" {
		v.next = l.to("/wallet", "after", string(wallet.NextCursor))
	}
	for _, c := range registry.Categories {
		if documents := by[c.Code]; len(documents) > 0 {
			v.groups = append(v.groups, group{l.label(c.Labels), documents})
			delete(by, c.Code)
		}
	}
	var others []documentView
	for _, item := range wallet.Items { // in the wallet's order
		if documents := by[categories[item.DocumentType]]; len(documents) > 0 {
			others = append(others, documents...)
			delete(by, categories[item.DocumentType])
		}
	}
	if len(others) > 0 {
		v.groups = append(v.groups, group{l.say("wallet.other"), others})
	}
	return v
}

func (l page) document(item contract.WalletItem) documentView {
	d := documentView{
		href:  l.to("/documents/" + item.DocumentID.String()),
		label: cmp.Or(item.Label, string(item.DocumentType)), state: string(item.State), issuer: cmp.Or(item.IssuerName, string(item.Issuer)),
		represented: item.HeldAs == contract.HeldAsRepresentative,
	}
	d.validity = l.validity(item.ValidFrom, item.ValidUntil)
	if n := len(item.Attachments); n > 0 {
		d.files = strconv.Itoa(n)
	}
	for _, reader := range item.WhoMayRead {
		d.readers = append(d.readers, l.say("wallet.reader", cmp.Or(reader.OrganizationName, string(reader.Organization)), cmp.Or(reader.PurposeLabel, string(reader.Purpose))))
	}
	return d
}

func (l tongue) validity(from, until contract.Day) string {
	switch {
	case from != "" && until != "":
		return l.say("wallet.fromUntil", l.day(from), l.day(until))
	case from != "":
		return l.say("wallet.from", l.day(from))
	case until != "":
		return l.say("wallet.until", l.day(until))
	}
	return l.say("wallet.always")
}
