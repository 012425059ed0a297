package main

import (
	"strings"

	"coffre/domain"
	"coffre/handlers/contract"
)

// words are the headings and states that --lang reaches, by the English that stands in
// the code.
var words = map[string]translated{
	"citizen":          {"burger", "citoyen", "Bürger"},
	"documents":        {"documenten", "documents", "Dokumente"},
	"document":         {"document", "document", "Dokument"},
	"type":             {"type", "type", "Art"},
	"label":            {"benaming", "libellé", "Bezeichnung"},
	"issuer":           {"uitgever", "émetteur", "Aussteller"},
	"issuers":          {"uitgevers", "émetteurs", "Aussteller"},
	"version":          {"versie", "version", "Fassung"},
	"state":            {"toestand", "état", "Zustand"},
	"reason":           {"reden", "motif", "Grund"},
	"from":             {"van", "du", "von"},
	"until":            {"tot", "au", "bis"},
	"valid from":       {"geldig van", "valable du", "gültig von"},
	"valid until":      {"geldig tot", "valable jusqu'au", "gültig bis"},
	"effective from":   {"uitwerking vanaf", "prend effet le", "wirksam ab"},
	"issued":           {"uitgegeven", "émis", "ausgestellt"},
	"changed":          {"gewijzigd", "modifié", "geändert"},
	"attachment":       {"bijlage", "annexe", "Anlage"},
	"bytes":            {"bytes", "octets", "Byte"},
	"content":          {"inhoud", "contenu", "Inhalt"},
	"readers":          {"lezers", "lecteurs", "Leser"},
	"id":               {"id", "id", "Id"},
	"of":               {"van", "de", "von"},
	"Registry version": {"Register, versie", "Registre, version", "Register, Fassung"},
	"document type":    {"documenttype", "type de document", "Dokumentart"},
	"organisation":     {"organisatie", "organisation", "Organisation"},
	"name":             {"naam", "nom", "Name"},
	"purpose":          {"doel", "finalité", "Zweck"},
	"purposes":         {"doelen", "finalités", "Zwecke"},
	"read for":         {"gelezen voor", "lu pour", "gelesen für"},
	"in procedure":     {"in procedure", "dans la procédure", "im Verfahren"},
	"fields":           {"velden", "champs", "Felder"},
	"predicates":       {"predicaten", "prédicats", "Prädikate"},
	"legal basis":      {"rechtsgrond", "base légale", "Rechtsgrundlage"},
	"gdpr":             {"AVG", "RGPD", "DSGVO"},
	"procedure":        {"procedure", "procédure", "Verfahren"},
	"reason for":       {"reden voor", "motif de", "Grund für"},
	"code":             {"code", "code", "Code"},
	"this caller":      {"deze oproeper", "cet appelant", "dieser Aufrufer"},
	"people a day":     {"personen per dag", "personnes par jour", "Personen am Tag"},
	"issues":           {"geeft uit", "émet", "stellt aus"},
	"may read for":     {"mag lezen voor", "peut lire pour", "darf lesen für"},
	"document types":   {"documenttypes", "types de document", "Dokumentarten"},
	"in procedures":    {"in procedures", "dans les procédures", "in Verfahren"},
	"by law":           {"bij wet", "par la loi", "kraft Gesetzes"},
	"by consent":       {"met toestemming", "par consentement", "mit Einwilligung"},
	"yes":              {"ja", "oui", "ja"},
	"no":               {"nee", "non", "nein"},
	"consent":          {"toestemming", "consentement", "Einwilligung"},
	"consumer":         {"afnemer", "consommateur", "Abnehmer"},
	"covers":           {"omvat", "couvre", "umfasst"},
	"uses":             {"keer gebruikt", "utilisations", "Nutzungen"},
	"mandate":          {"mandaat", "mandat", "Mandat"},
	"kind":             {"soort", "genre", "Art"},
	"as":               {"als", "en tant que", "als"},
	"other party":      {"andere partij", "autre partie", "andere Seite"},
	"may":              {"mag", "peut", "darf"},
	"types":            {"types", "types", "Arten"},
	"all":              {"alle", "tous", "alle"},
	"why":              {"waarom", "pourquoi", "warum"},
	"when":             {"wanneer", "quand", "wann"},
	"reader":           {"lezer", "lecteur", "Leser"},
	"what":             {"wat", "quoi", "was"},
	"basis":            {"grond", "base", "Grundlage"},
	"outcome":          {"afloop", "issue", "Ausgang"},
	"entry":            {"vermelding", "entrée", "Eintrag"},
	"investigation":    {"onderzoek", "enquête", "Ermittlung"},
	"citizens":         {"burgers", "citoyens", "Bürger"},
	"petition":         {"verzoek", "demande", "Antrag"},
	"answers":          {"antwoordt", "répond", "antwortet"},
	"asked":            {"gevraagd", "demandé", "verlangt"},
	"times":            {"keer", "fois", "Mal"},
	"for":              {"voor", "pour", "für"},
	"In the last %d days: opened %d, only told %d, refused %d.": {
		"In de laatste %d dagen: geopend %d, enkel verteld %d, geweigerd %d.", "Ces %d derniers jours : ouvert %d, seulement dit %d, refusé %d.", "In den letzten %d Tagen: geöffnet %d, nur mitgeteilt %d, verweigert %d."},
	"Nobody read or asked anything in the last %d days.": {
		"Niemand las of vroeg iets in de laatste %d dagen.", "Personne n'a rien lu ni demandé ces %d derniers jours.", "In den letzten %d Tagen hat niemand etwas gelesen oder gefragt."},
	"What an investigation may hide for a time is shown when it is over.": {
		"Wat een onderzoek tijdelijk mag verbergen, wordt getoond wanneer het voorbij is.", "Ce qu'une enquête peut cacher pour un temps est montré quand elle est terminée.", "Was eine Ermittlung eine Zeit lang verbergen darf, wird gezeigt, wenn sie vorbei ist."},
	"hidden until %s: %s":     {"verborgen tot %s: %s", "caché jusqu'au %s : %s", "verborgen bis %s: %s"},
	"Complete since %s.":      {"Volledig sinds %s.", "Complet depuis le %s.", "Vollständig seit %s."},
	"hold":                    {"wisverbod", "interdiction d'effacer", "Löschverbot"},
	"placed":                  {"opgelegd", "imposée", "verhängt"},
	"lifted":                  {"opgeheven", "levée", "aufgehoben"},
	"restriction":             {"beperking", "limitation", "Einschränkung"},
	"restrictions":            {"beperkingen", "limitations", "Einschränkungen"},
	"asked by":                {"gevraagd door", "demandée par", "verlangt von"},
	"since":                   {"sinds", "depuis", "seit"},
	"everything":              {"alles", "tout", "alles"},
	"erasure":                 {"wissing", "effacement", "Löschung"},
	"requested":               {"gevraagd", "demandé", "verlangt"},
	"approved":                {"goedgekeurd", "approuvé", "genehmigt"},
	"release":                 {"vrijgave", "libération", "Freigabe"},
	"proposed":                {"voorgesteld", "proposée", "vorgeschlagen"},
	"proposed by":             {"voorgesteld door", "proposée par", "vorgeschlagen von"},
	"carried out":             {"uitgevoerd", "exécutée", "ausgeführt"},
	"suppression":             {"onthouden wissing", "effacement retenu", "gemerkte Löschung"},
	"review":                  {"herziening", "révision", "Überprüfung"},
	"correction":              {"rechtzetting", "rectification", "Berichtigung"},
	"corrections":             {"rechtzettingen", "rectifications", "Berichtigungen"},
	"attests":                 {"bevestigt", "atteste", "bestätigt"},
	"A consent lasts at most": {"Een toestemming duurt hoogstens", "Un consentement dure au plus", "Eine Einwilligung gilt höchstens"},
	"Minors read and decide alone from the age of":               {"Minderjarigen beslissen alleen vanaf", "Les mineurs décident seuls à partir de", "Minderjährige entscheiden allein ab"},
	"No organisation may attest":                                 {"Niemand mag bevestigen", "Personne ne peut attester", "Niemand darf bestätigen"},
	"give one the right (\"attests\"), and publish the registry": {"geef een organisatie het recht (\"attests\") en publiceer het register", "donnez ce droit à une organisation (\"attests\") et publiez le registre", "geben Sie einer Organisation das Recht (\"attests\") und veröffentlichen Sie das Register"},
}

// translated is a word in Dutch, French and German.
type translated struct{ nl, fr, de string }

// states are those of a document, for people.
var states = map[contract.DocumentState]translated{
	contract.DocumentStateValid:       {"geldig", "valable", "gültig"},
	contract.DocumentStateNotYetValid: {"nog niet geldig", "pas encore valable", "noch nicht gültig"},
	contract.DocumentStateExpired:     {"vervallen", "expiré", "abgelaufen"},
	contract.DocumentStateSuspended:   {"geschorst", "suspendu", "ausgesetzt"},
	contract.DocumentStateRevoked:     {"ingetrokken", "révoqué", "widerrufen"},
	contract.DocumentStateErased:      {"gewist", "effacé", "gelöscht"},
}

// consentStates are those of a consent, for people.
var consentStates = map[contract.ConsentState]translated{
	contract.ConsentStateRequested: {"gevraagd", "demandé", "erbeten"},
	contract.ConsentStateGranted:   {"gegeven", "donné", "erteilt"},
	contract.ConsentStateRefused:   {"geweigerd", "refusé", "verweigert"},
	contract.ConsentStateWithdrawn: {"ingetrokken", "retiré", "widerrufen"},
	contract.ConsentStateExpired:   {"vervallen", "expiré", "abgelaufen"},
	contract.ConsentStateExhausted: {"opgebruikt", "épuisé", "aufgebraucht"},
	contract.ConsentStateErased:    {"gewist", "effacé", "gelöscht"},
}

// mandateStates are those of a mandate, for people.
var mandateStates = map[contract.MandateState]translated{
	contract.MandateStateGranted:  {"gegeven", "donné", "erteilt"},
	contract.MandateStateAccepted: {"aanvaard", "accepté", "angenommen"},
	contract.MandateStateEnded:    {"beëindigd", "terminé", "beendet"},
	contract.MandateStateExpired:  {"vervallen", "expiré", "abgelaufen"},
}

// erasureStateWords are the states of an erasure, for people.
var erasureStateWords = map[contract.ErasureState]translated{
	contract.ErasureStateRequested:     {"gevraagd", "demandé", "verlangt"},
	contract.ErasureStateApproved:      {"goedgekeurd", "approuvé", "genehmigt"},
	contract.ErasureStateStarted:       {"begonnen", "commencé", "begonnen"},
	contract.ErasureStateStopped:       {"gestopt", "arrêté", "angehalten"},
	contract.ErasureStateKeysDestroyed: {"sleutels vernietigd", "clés détruites", "Schlüssel vernichtet"},
	contract.ErasureStateFinal:         {"definitief", "définitif", "endgültig"},
}

// erasureScopes say what an erasure is of.
var erasureScopes = map[contract.ErasureScope]translated{
	contract.ErasureScopeDocument: {"document", "document", "Dokument"},
	contract.ErasureScopeCitizen:  {"burger", "citoyen", "Bürger"},
}

// releaseStateWords are the states of a release, for people.
var releaseStateWords = map[contract.ReleaseState]translated{
	contract.ReleaseStateProposed:  {"voorgesteld", "proposée", "vorgeschlagen"},
	contract.ReleaseStateApproved:  {"goedgekeurd", "approuvée", "genehmigt"},
	contract.ReleaseStateCompleted: {"uitgevoerd", "exécutée", "ausgeführt"},
}

// releaseKinds say what a release does.
var releaseKinds = map[contract.ReleaseKind]translated{
	contract.ReleaseKindEnd:     {"einde van de herinnering", "fin du souvenir", "Ende der Erinnerung"},
	contract.ReleaseKindNewLife: {"nieuw leven", "nouvelle vie", "neues Leben"},
}

// correctionKindWords say what is corrected.
var correctionKindWords = map[contract.CorrectionKind]translated{
	contract.CorrectionKindMerge:        {"samenvoeging", "fusion", "Zusammenführung"},
	contract.CorrectionKindSeparation:   {"splitsing", "séparation", "Trennung"},
	contract.CorrectionKindDeathInError: {"overlijden ten onrechte gemeld", "décès signalé par erreur", "irrtümlich gemeldeter Tod"},
}

// correctionStates are the states of a correction, for people.
var correctionStates = map[contract.CorrectionState]translated{
	contract.CorrectionStateProposed:  {"voorgesteld", "proposée", "vorgeschlagen"},
	contract.CorrectionStateCompleted: {"uitgevoerd", "exécutée", "ausgeführt"},
	contract.CorrectionStateLapsed:    {"vervallen", "caduque", "verfallen"},
}

// suppressionStateWords are the states of a suppression, for people.
var suppressionStateWords = map[contract.SuppressionState]translated{
	contract.SuppressionStateKept:      {"onthouden", "retenu", "gemerkt"},
	contract.SuppressionStateReviewDue: {"te herzien", "à réviser", "zu überprüfen"},
	contract.SuppressionStateEnding:    {"loopt af", "prend fin", "läuft aus"},
}

// accessOutcomes are those of an access, for people.
var accessOutcomes = map[contract.AccessOutcome]translated{
	contract.AccessOutcomeDisclosed:            {"meegedeeld", "communiqué", "mitgeteilt"},
	contract.AccessOutcomeMayHaveBeenDisclosed: {"misschien meegedeeld", "peut-être communiqué", "vielleicht mitgeteilt"},
	contract.AccessOutcomeWithheld:             {"niet meegedeeld", "pas communiqué", "nicht mitgeteilt"},
	contract.AccessOutcomeRefused:              {"geweigerd", "refusé", "verweigert"},
	contract.AccessOutcomeFailed:               {"mislukt", "échoué", "fehlgeschlagen"},
}

// accessKinds say what was read where no document's name does.
var accessKinds = map[contract.AccessKind]translated{
	contract.AccessKindAttachment:          {"bestand", "fichier", "Datei"},
	contract.AccessKindDelivery:            {"aflevering", "remise", "Zustellung"},
	contract.AccessKindDocument:            {"document", "document", "Dokument"},
	contract.AccessKindExport:              {"uitvoer", "exportation", "Ausfuhr"},
	contract.AccessKindLookup:              {"opzoeking van het nummer", "recherche du numéro", "Suche nach der Nummer"},
	contract.AccessKindPredicate:           {"ja-of-neenvraag", "question par oui ou non", "Ja-Nein-Frage"},
	contract.AccessKindPresence:            {"wat er is", "ce qu'il y a", "was es gibt"},
	contract.AccessKindReadBack:            {"lezing door de uitgever", "lecture par l'émetteur", "Lesen durch den Aussteller"},
	contract.AccessKindSubjectAccessReport: {"verslag van alle gegevens", "rapport de toutes les données", "Bericht über alle Daten"},
	contract.AccessKindVersions:            {"versies", "versions", "Fassungen"},
	contract.AccessKindWallet:              {"kluis", "coffre", "Tresor"},
}

// readerRoles are the roles of those who read, for people.
var readerRoles = map[contract.ActorRole]translated{
	contract.ActorRoleIssuer:         {"uitgever", "émetteur", "Aussteller"},
	contract.ActorRoleConsumer:       {"afnemer", "consommateur", "Abnehmer"},
	contract.ActorRoleCitizen:        {"burger", "citoyen", "Bürger"},
	contract.ActorRoleRepresentative: {"vertegenwoordiger", "représentant", "Vertreter"},
	contract.ActorRoleAuditor:        {"auditor", "auditeur", "Prüfer"},
	contract.ActorRolePrivacyOfficer: {"functionaris voor gegevensbescherming", "délégué à la protection des données", "Datenschutzbeauftragter"},
	contract.ActorRoleOperator:       {"beheerder", "exploitant", "Betreiber"},
	contract.ActorRoleSystem:         {"systeem", "système", "System"},
}

// speaker says headings and states in one language.
type speaker domain.Language

// word returns an English word of the list in the speaker's language. It panics for one that
// the list lacks: a broken program.
func (s speaker) word(english string) string {
	t, ok := words[english]
	if !ok {
		panic("no translation of " + english)
	}
	return t.in(s, english)
}

// headings returns words as they stand above columns.
func (s speaker) headings(english ...string) (all []string) {
	for _, word := range english {
		all = append(all, strings.ToUpper(s.word(word)))
	}
	return all
}

// state returns a document's state; one of a later contract stays as it is.
func (s speaker) state(state contract.DocumentState) string {
	return states[state].in(s, string(state))
}

func (s speaker) consentState(state contract.ConsentState) string {
	return consentStates[state].in(s, string(state))
}

func (s speaker) mandateState(state contract.MandateState) string {
	return mandateStates[state].in(s, string(state))
}

func (s speaker) erasureState(state contract.ErasureState) string {
	return erasureStateWords[state].in(s, string(state))
}

func (s speaker) erasureScope(scope contract.ErasureScope) string {
	return erasureScopes[scope].in(s, string(scope))
}

func (s speaker) releaseState(state contract.ReleaseState) string {
	return releaseStateWords[state].in(s, string(state))
}

func (s speaker) releaseKind(kind contract.ReleaseKind) string {
	return releaseKinds[kind].in(s, string(kind))
}

func (s speaker) correctionKind(kind contract.CorrectionKind) string {
	return correctionKindWords[kind].in(s, string(kind))
}

func (s speaker) correctionState(state contract.CorrectionState) string {
	return correctionStates[state].in(s, string(state))
}

func (s speaker) suppressionState(state contract.SuppressionState) string {
	return suppressionStateWords[state].in(s, string(state))
}

func (s speaker) accessOutcome(outcome contract.AccessOutcome) string {
	return accessOutcomes[outcome].in(s, string(outcome))
}

func (s speaker) accessKind(kind contract.AccessKind) string {
	return accessKinds[kind].in(s, string(kind))
}

func (s speaker) readerRole(role contract.ActorRole) string {
	return readerRoles[role].in(s, string(role))
}

func (t translated) in(s speaker, english string) string {
	said := map[speaker]string{"nl": t.nl, "fr": t.fr, "de": t.de}[s]
	if said == "" {
		return english
	}
	return said
}
