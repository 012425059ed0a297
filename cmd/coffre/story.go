package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"coffre/handlers/contract"
)

// facts are the clear facts of an event, as they are stored.
type facts map[string]any

// word returns a fact as text, "" when it is absent.
func (f facts) word(name string) string {
	switch v := f[name].(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = fmt.Sprint(w)
		}
		return strings.Join(words, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// id returns the first part of an id: enough to follow it through a story.
func (f facts) id(name string) string { return short(f.word(name)) }

func short(id string) string {
	if len(id) == 36 {
		return id[:8]
	}
	return id
}

// under returns the facts within one.
func (f facts) under(name string) facts {
	m, _ := f[name].(map[string]any)
	return m
}

// with returns the words around a fact when it is there, "" when it is absent.
func (f facts) with(before, name, after string) string {
	if w := short(f.word(name)); w != "" {
		return before + w + after
	}
	return ""
}

// sentences tells each type of event. What an event says of a person is sealed
// and does not appear.
var sentences = map[string]func(who string, f facts) string{
	"citizen.registered": func(_ string, f facts) string {
		return "citizen " + f.id("citizen") + " is known from now on" + f.with(" (a new life, basis ", "basis", ")")
	},
	"citizen.deceased": func(who string, f facts) string {
		return who + " reported the death of citizen " + f.id("citizen")
	},
	"citizen.death-correction-proposed": func(who string, f facts) string {
		return who + " proposed to correct the death of citizen " + f.id("citizen") + ", which was reported in error"
	},
	"citizen.death-corrected": func(who string, f facts) string {
		return who + " corrected the death of citizen " + f.id("citizen") + ", who lives"
	},
	"citizen.merge-proposed": func(who string, f facts) string {
		return who + " proposed that citizen " + f.id("citizen") + " is the same person as citizen " + f.id("survivor")
	},
	"citizen.merged": func(who string, f facts) string {
		return who + " let citizen " + f.id("citizen") + " take in citizen " + f.id("former")
	},
	"citizen.merged-into": func(who string, f facts) string {
		return who + " merged citizen " + f.id("citizen") + " into citizen " + f.id("survivor")
	},
	"citizen.separation-proposed": func(who string, f facts) string {
		return who + " proposed that citizen " + f.id("citizen") + " is another person than the one they were merged into"
	},
	"citizen.separated": func(who string, f facts) string {
		return who + " separated citizen " + f.id("citizen") + " from citizen " + f.id("survivor")
	},
	"citizen.ssin-replaced": func(who string, f facts) string {
		return who + " gave citizen " + f.id("citizen") + " another number"
	},
	"citizen.legal-hold-placed": func(who string, f facts) string {
		return who + " forbade to erase anything of citizen " + f.id("citizen") + f.with(": ", "reason", "")
	},
	"citizen.processing-restricted": func(who string, f facts) string {
		what := "everything"
		if f.word("document") != "" {
			what = "document " + f.id("document")
		}
		return who + " restricted the processing of " + what + " of citizen " + f.id("citizen") + f.with(": ", "reason", "")
	},
	"citizen.preferences-set": func(who string, f facts) string {
		return who + " chose what citizen " + f.id("citizen") + " hears of"
	},
	"citizen.restriction-lifted": func(who string, f facts) string {
		return who + " lifted restriction " + f.id("restriction") + " on citizen " + f.id("citizen")
	},
	"citizen.legal-hold-lifted": func(who string, f facts) string {
		return who + " lifted legal hold " + f.id("hold") + " on citizen " + f.id("citizen")
	},
	"citizen.erasure-requested": func(who string, f facts) string {
		what := "everything"
		if f.word("scope") == "document" {
			what = "document " + f.id("document")
		}
		return who + " asked to forget " + what + " of citizen " + f.id("citizen") + f.with(": ", "reason", "")
	},
	"citizen.erasure-approved": func(who string, f facts) string {
		return who + " approved erasure " + f.id("erasure")
	},
	"citizen.erasure-started": func(who string, f facts) string {
		return who + " began erasure " + f.id("erasure")
	},
	"citizen.key-destroyed": func(who string, f facts) string {
		return who + " destroyed the keys of citizen " + f.id("citizen") + f.with("; events that can no longer be read: ", "unreadable", "")
	},
	"citizen.erasure-completed": func(who string, f facts) string {
		return who + " completed erasure " + f.id("erasure") + f.with(" of citizen ", "citizen", "")
	},
	"citizen.erasure-stopped": func(who string, f facts) string {
		return who + " stopped erasure " + f.id("erasure") + f.with(" of citizen ", "citizen", "") + ": the law obliges to keep a document"
	},
	"citizen.erasure-finalised": func(who string, f facts) string {
		return who + " found that no copy can undo erasure " + f.id("erasure") + f.with(" of citizen ", "citizen", "")
	},
	"document.issued": func(_ string, f facts) string {
		return f.word("issuer") + " issued " + f.word("type") + " " + f.id("document") + " to citizen " + f.id("citizen")
	},
	"document.updated": func(who string, f facts) string {
		return who + " updated document " + f.id("document") + f.with(" to version ", "version", "") + f.with(", effective ", "effectiveFrom", "") + f.with(": ", "reason", "")
	},
	"document.revoked": func(who string, f facts) string {
		return who + " revoked document " + f.id("document") + f.with(", effective ", "effectiveFrom", "") + f.with(": ", "reason", "")
	},
	"document.suspended": func(who string, f facts) string {
		return who + " suspended document " + f.id("document") + f.with(": ", "reason", "")
	},
	"document.reinstated": func(who string, f facts) string {
		return who + " reinstated document " + f.id("document") + f.with(": ", "reason", "")
	},
	"document.content-destroyed": func(who string, f facts) string {
		return who + " destroyed the content of document " + f.id("document") + f.with("; events that can no longer be read: ", "unreadable", "")
	},
	"consent.requested": func(_ string, f facts) string {
		if f["citizen"] == nil {
			return terms(f) + " was asked of nobody whom the vault knows"
		}
		return terms(f) + " was asked of citizen " + f.id("citizen")
	},
	"consent.granted": func(who string, f facts) string {
		return who + f.with(" (under mandate ", "mandate", ")") + " granted " + terms(f) + f.with(", in the place of consent ", "renews", "")
	},
	"consent.refused": func(who string, f facts) string {
		return who + f.with(" (under mandate ", "mandate", ")") + " refused consent " + f.id("consent")
	},
	"consent.withdrawn": func(who string, f facts) string {
		return who + f.with(" (under mandate ", "mandate", ")") + " withdrew consent " + f.id("consent") + f.with(": ", "reason", "")
	},
	"access.authorized": func(_ string, f facts) string {
		reader := f.word("consumer")
		if reader == "" {
			reader = f.with("citizen ", "reader", "")
		}
		if reader == "" {
			reader = f.word("role")
		}
		return reader + " was allowed to read " + readWhat(f) + " of citizen " + f.id("citizen") +
			f.with(" for ", "purpose", "") + f.with(", procedure ", "procedure", "") +
			f.with(", under consent ", "consent", "") + f.with(", by law: ", "legalBasis", f.with(" ", "deliberation", "")) + f.with(", under mandate ", "mandate", "")
	},
	"access.disclosed": func(_ string, f facts) string {
		return "access " + f.id("access") + " ended: " + f.word("outcome") + f.with(" (", "reason", ")")
	},
	"access.told": func(_ string, f facts) string {
		whom := f.with("what citizen ", "citizen", " holds")
		if whom == "" {
			whom = "that nothing is held of somebody unknown"
		}
		return f.word("consumer") + " was told " + whom +
			f.with(" for ", "purpose", "") + f.with(", procedure ", "procedure", "") +
			f.with(", under consent ", "consent", "") + f.with(", by law: ", "legalBasis", f.with(" ", "deliberation", ""))
	},
	"access.named": func(_ string, f facts) string {
		by := f.word("organisation")
		if by == "" {
			by = "a privacy officer"
		}
		whom := f.with("citizen ", "citizen", "")
		if whom == "" {
			whom = "somebody unknown"
		}
		return by + " looked up " + whom + " by number" + f.with(" for ", "purpose", "") + f.with(", procedure ", "procedure", "") + f.with(": ", "reason", "")
	},
	"access.refused": func(_ string, f facts) string {
		times := ""
		if n := f.word("count"); n != "" && n != "1" {
			times = " " + n + " times"
		}
		return f.word("consumer") + " was refused" + times + ": " + f.word("reason") + f.with(" (", "type", f.with(" for ", "purpose", "")+")")
	},
	"access.disputed": func(who string, f facts) string {
		return who + " disputed entry " + f.id("entry") + " of the access log" + f.with(", to be answered by ", "organisation", "") + f.with(" until ", "deadline", "") + f.with(", under mandate ", "mandate", "") + ": petition " + f.id("petition")
	},
	"access.dispute-answered": func(who string, f facts) string {
		return who + " answered petition " + f.id("petition") + ": " + f.word("outcome")
	},
	"petition.requested": func(who string, f facts) string {
		return who + " petitioned " + f.word("organisation") + f.with(": ", "kind", "") + f.with(" of document ", "document", "") + f.with(", purpose ", "purpose", "") + f.with(", until ", "deadline", "") + f.with(", under mandate ", "mandate", "") + ": petition " + f.id("petition")
	},
	"petition.extended": func(who string, f facts) string {
		return who + " took until " + f.word("deadline") + " to answer petition " + f.id("petition")
	},
	"petition.answered": func(who string, f facts) string {
		return who + " answered petition " + f.id("petition") + ": " + f.word("outcome") + f.with(", with version ", "rectified", "")
	},
	"investigation.opened": func(who string, f facts) string {
		return who + " opened investigation " + f.id("investigation") + f.with(" until ", "until", "") + f.with(": ", "reason", "")
	},
	"investigation.renewed": func(who string, f facts) string {
		return who + " renewed investigation " + f.id("investigation") + f.with(" until ", "until", "")
	},
	"investigation.lifted": func(who string, f facts) string {
		return who + " lifted investigation " + f.id("investigation")
	},
	"term.announced": func(who string, f facts) string {
		what := f.word("kind") + " " + f.id(f.word("kind"))
		return who + " announced the end of " + what + " on " + f.word("ends")
	},
	"mandate.granted": func(_ string, f facts) string {
		return "citizen " + f.id("representative") + " may act for citizen " + f.id("citizen") + f.with(" as ", "kind", "") + f.with(", says ", "source", "") + f.with(": mandate ", "mandate", "")
	},
	"mandate.accepted": func(who string, f facts) string {
		return who + " accepted mandate " + f.id("mandate")
	},
	"mandate.ended": func(who string, f facts) string {
		return who + " ended mandate " + f.id("mandate") + f.with(": ", "reason", "")
	},
	"release.proposed": func(who string, f facts) string {
		return who + " proposed release " + f.id("release") + f.with(" (", "kind", f.with(" at ", "until", "")+")") + f.with(" on the basis ", "basis", "")
	},
	"release.approved": func(who string, f facts) string {
		return who + " approved release " + f.id("release")
	},
	"release.completed": func(who string, f facts) string {
		return who + " carried out release " + f.id("release") + f.with(": citizen ", "citizen", "")
	},
	"registry.published": func(who string, f facts) string {
		return who + " published version " + f.word("version") + " of the registry"
	},
	"audit.log-read": func(who string, f facts) string {
		return who + " read the log" + f.with(" from leaf ", "fromLeaf", "") + f.with(", recorded from ", "from", "") + f.with(", until ", "until", "") + f.with(", by ", "role", "") + f.with(", of ", "organisation", "")
	},
	"audit.provider-named": func(who string, f facts) string {
		return who + " named the OpenID provider that vouches for callers" + f.with(": ", "issuer", "")
	},
	"audit.provider-change-proposed": func(who string, f facts) string {
		return who + " proposed another OpenID provider" + f.with(": ", "issuer", "") + f.with(", because ", "reason", "")
	},
	"audit.provider-change-approved": func(who string, f facts) string {
		return who + " approved the change of the OpenID provider"
	},
	"audit.provider-confirmed": func(who string, f facts) string {
		return who + " confirmed the OpenID provider that was recovered"
	},
	"audit.operated": func(who string, f facts) string {
		return who + " set out to " + deed(f.word("act")) + f.with(" ", "on", "") + f.with(" of citizen ", "citizen", "") + f.with(" for ", "consumer", "") + f.with(", purpose ", "purpose", "")
	},
	"audit.export-created": func(who string, f facts) string {
		return who + " exported the " + f.word("kind") + f.with(" as ", "format", "") + f.with(" about citizen ", "citizen", "") + f.with(" for ", "consumer", "") + f.with(": ", "reason", "")
	},
	"audit.affected-asked": func(who string, f facts) string {
		return who + " asked whose " + f.word("type") + " went to " + f.word("consumer") + f.with(" from ", "from", "") + f.with(" until ", "until", "") + f.with(": ", "reason", "")
	},
	"audit.loss-accepted": func(who string, f facts) string {
		return who + " accepted that the log ends at " + f.word("logEnd") + ", and was seen up to " + f.word("seenEnd") + f.with(": ", "cause", "")
	},
}

// deeds tells each act of audit.operated.
var deeds = map[string]string{
	"createBackup": "take a backup", "reportVerifiedBackup": "report a backup as good", "reportBackupElsewhere": "report a backup made elsewhere",
	"rebuildProjection": "build anew the read model", "rotateKeys": "rotate the key-encryption key", "retireKeys": "retire old keys", "trimKeys": "destroy old keys",
	"rotatePepper": "replace the pepper", "rotateAudit": "replace the audit key", "rotateRequests": "replace the request key", "getConsent": "look at consent", "getConsentHistory": "look at the history of consent", "listConsentDisclosures": "look at what was read under consent", "queryConsentLog": "search the log of consents", "getFigures": "look at the figures",
	"getExportContent": "download export", "cancelExport": "cancel export", "createComparison": "compare the read models with the log", "getErasure": "look at erasure", "getErasureCertificate": "read the certificate of erasure", "listDueErasures": "list what is due for erasure", "listHolds": "list legal holds", "listAllRestrictions": "list restrictions", "listReleases": "list releases", "listSuppressions": "list what is remembered of erased persons", "listAttachments": "list files that no document names",
	"restore": "make the vault of a backup", "keysRestore": "bring rows of the key database back from a backup", "storeCopy": "copy the vault, keys and all",
	"enableWebhook": "enable webhook", "replayWebhook": "send again what failed, of webhook", "rotateWebhook": "replace the secret of webhook",
	"pauseReactor": "pause reactor", "resumeReactor": "resume reactor", "retryPoison": "try again the event that was set aside at", "dropPoison": "give up the event that was set aside at", "retryEboxMessages": "send again, to My eBox, message",
	"createWebhookSubscription": "have itself told by webhook", "enableWebhookSubscription": "enable webhook", "replayWebhookSubscription": "have sent again, by webhook",
	"rotateWebhookSubscription": "replace the key of webhook", "removeWebhookSubscription": "remove webhook", "webhookGone": "end, as its receiver answered 410, webhook",
	"listSignals": "hear what changed", "listPetitions": "list petitions", "getPetition": "look at petition",
	"listRestrictions": "look at the restrictions", "getRestriction": "look at restriction",
}

// deed tells an act; of a later version by its name.
func deed(act string) string {
	if text, known := deeds[act]; known {
		return text
	}
	return act
}

// terms tells what a consent covers.
func terms(f facts) string {
	t := f.under("terms")
	covers := t.word("types")
	if covers == "" {
		covers = fmt.Sprintf("%d document(s)", len(strings.Split(t.word("documents"), ", ")))
	}
	return "consent " + f.id("consent") + " for " + t.word("consumer") + " to read " + covers + t.with(" for ", "purpose", "") + t.with(" until ", "until", "")
}

func readWhat(f facts) string {
	switch {
	case f.word("predicate") != "":
		return "the answer to " + f.word("predicate") + " out of " + f.word("type")
	case f.word("fields") != "":
		return f.word("fields") + " of " + f.word("type") + f.with(" ", "document", "")
	case f.word("document") != "":
		return f.word("type") + " " + f.id("document")
	}
	return "the " + f.word("kind")
}

// sentence tells an event in one line, with the stream and revision it is at.
func sentence(e contract.LogEvent) string {
	var f facts
	if json.Unmarshal(e.Facts, &f) != nil {
		f = nil
	}
	tell, known := sentences[e.Type]
	var said string
	if known {
		said = tell(actor(e), f)
	} else { // of a later version: say what it says
		var all []string
		for _, name := range slices.Sorted(maps.Keys(f)) {
			all = append(all, name+" "+f.word(name))
		}
		said = e.Type + ": " + strings.Join(all, ", ")
	}
	counted := e.Actor.Role == contract.ActorRoleSystem && f.word("consumer") == string(e.OnBehalfOf) // it is the subject already
	if e.OnBehalfOf != "" && e.OnBehalfOf != e.Actor.Organization && !counted {
		said += ", on behalf of " + string(e.OnBehalfOf)
	}
	return printable(fmt.Sprintf("%s  [%s@%d]", said, e.Stream, e.Revision))
}

// actor names who did it.
func actor(e contract.LogEvent) string {
	switch {
	case !e.Actor.Organization.IsZero():
		return string(e.Actor.Organization)
	case !e.Actor.CitizenID.IsZero():
		return "citizen " + short(e.Actor.CitizenID.String())
	}
	switch e.Actor.Role {
	case contract.ActorRolePrivacyOfficer:
		return "a privacy officer"
	case contract.ActorRoleAuditor:
		return "an auditor"
	case contract.ActorRoleOperator:
		return "an operator"
	}
	return "the vault"
}
