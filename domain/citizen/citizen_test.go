package citizen_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	. "coffre/domain/citizen"
	"coffre/domain/domaintest"
	"coffre/domain/registry"
)

var (
	ana      = domain.CitizenID{UUID: uuid.UUID{1}}
	bob      = domain.CitizenID{UUID: uuid.UUID{2}}
	card     = domain.DocumentID{UUID: uuid.UUID{3}}
	other    = domain.DocumentID{UUID: uuid.UUID{4}}
	hold     = domain.HoldID{UUID: uuid.UUID{5}}
	erasure  = domain.ErasureID{UUID: uuid.UUID{6}}
	partial  = domain.ErasureID{UUID: uuid.UUID{7}}
	register = domain.Organisation("0206731645")

	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	source   = domain.Actor{Role: domain.RoleIssuer, Organisation: register}
	self     = domain.Actor{Role: domain.RoleCitizen, Citizen: ana, Subject: "ana"}
	stranger = domain.Actor{Role: domain.RoleCitizen, Citizen: bob, Subject: "bob"}
	officer  = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "one"}
	second   = domain.Actor{Role: domain.RolePrivacyOfficer, Subject: "two"}
	system   = domain.Actor{Role: domain.RoleSystem}

	born      = Registered{Citizen: ana, At: noon}
	held      = LegalHoldPlaced{Citizen: ana, Hold: hold, Reason: "litigation", At: noon, Personal: &LegalHoldPersonal{CaseReference: "c"}}
	lifted    = LegalHoldLifted{Citizen: ana, Hold: hold, At: noon}
	requested = ErasureRequested{Citizen: ana, Erasure: erasure, Scope: WholeCitizen, Reason: "citizenAsked", At: noon}
	approved  = ErasureApproved{Citizen: ana, Erasure: erasure, At: noon}
	started   = ErasureStarted{Citizen: ana, Erasure: erasure, At: noon}
	destroyed = KeyDestroyed{Citizen: ana, Erasure: erasure, Keys: []string{"k"}, Unreadable: 3, Digest: []byte{9}, At: noon}
	oneAsked  = ErasureRequested{Citizen: ana, Erasure: partial, Scope: OneDocument, Document: card, Reason: "citizenAsked", At: noon}
	oneAgreed = ErasureApproved{Citizen: ana, Erasure: partial, At: noon}
	oneBegun  = ErasureStarted{Citizen: ana, Erasure: partial, At: noon}
	oneDone   = ErasureCompleted{Citizen: ana, Erasure: partial, At: noon}
	halted    = ErasureStopped{Citizen: ana, Erasure: erasure, Duties: []StandingDuty{{card, "isiPlusCard", "law"}}, At: noon}
	forGood   = ErasureFinalised{Citizen: ana, Erasure: erasure, WrappedBy: 3, OldestVersion: 4, TrimmedAt: noon.AddDate(0, 0, -10),
		Backups: CopiesGone{9, "2026-02-28"}, Archives: CopiesGone{0, "2026-02-19"}, Snapshots: CopiesGone{8, "2026-02-27"}, At: noon}
	died = Deceased{Citizen: ana, At: noon, Personal: &DeceasedPersonal{Date: "2026-02-28"}}

	free   = RetainedDocument{Document: card, Type: "isiPlusCard", Issued: "2026-01-01", Retention: registry.Retention{Years: 10, From: registry.FromIssue}}
	bound  = RetainedDocument{Document: card, Type: "isiPlusCard", Issued: "2016-03-02", Retention: registry.Retention{Years: 10, From: registry.FromIssue, Rule: "law", Duty: true}}
	past   = RetainedDocument{Document: card, Type: "isiPlusCard", Issued: "2016-03-01", Retention: bound.Retention}
	ending = RetainedDocument{Document: card, Type: "isiPlusCard", Issued: "1990-01-01", Retention: registry.Retention{Years: 1, From: registry.FromEnd, Rule: "law", Duty: true}}
	ended  = RetainedDocument{Document: card, Type: "isiPlusCard", Issued: "1990-01-01", Ended: "2025-03-01", Retention: ending.Retention}

	still      = domain.RestrictionID{UUID: uuid.UUID{8}}
	restricted = ProcessingRestricted{Citizen: ana, Restriction: still, Reason: "accuracyContested", AskedBy: domain.RoleCitizen, At: noon}
	byOfficer  = with(restricted, func(e *ProcessingRestricted) { e.AskedBy = domain.RolePrivacyOfficer })
	ofCard     = with(restricted, func(e *ProcessingRestricted) { e.Document = card })
	petition   = domain.PetitionID{UUID: uuid.UUID{8}}
	ofPetition = ProcessingRestricted{Citizen: ana, Restriction: petition.Restriction(), Document: card, Reason: AccuracyContested, AskedBy: domain.RoleCitizen, At: noon}
	answered   = LiftRestriction{Restriction: petition.Restriction(), Petition: &petition, Informed: "2026-03-01", By: source, At: noon}
	freed      = RestrictionLifted{Citizen: ana, Restriction: still, At: noon}
	told       = with(freed, func(e *RestrictionLifted) { e.Informed = "2026-03-01" })
	restrict   = RestrictProcessing{Restriction: still, Reason: "accuracyContested", By: self, At: noon}
	release    = LiftRestriction{Restriction: still, By: self, At: noon}
	releases   = LiftRestriction{Restriction: still, Informed: "2026-03-01", By: officer, At: noon}

	choice = Preferences{Language: "fr", Documents: ByEboxEach, Expiries: ByEboxDaily, Accesses: NoNotice, Consents: ByEboxEach}
	choose = SetPreferences{Preferences: choice, By: self, At: noon}
	chosen = PreferencesSet{Citizen: ana, At: noon, Personal: &choice}

	arrive  = Register{Citizen: ana, By: source, At: noon}
	place   = PlaceHold{Hold: hold, Reason: "litigation", CaseReference: "c", By: officer, At: noon}
	lift    = LiftHold{Hold: hold, By: officer, At: noon}
	request = RequestErasure{Erasure: erasure, Scope: WholeCitizen, Reason: "citizenAsked", By: self, At: noon}
	approve = ApproveErasure{Erasure: erasure, RequestedBy: self, Comparable: true, By: officer, At: noon}
	start   = StartErasure{Erasure: erasure, By: system, At: noon}
	destroy = DestroyKey{Erasure: erasure, Keys: []string{"k"}, Unreadable: 3, Digest: []byte{9}, By: system, At: noon}
	done    = CompleteErasure{Erasure: partial, By: system, At: noon}
	stop    = StopErasure{Erasure: erasure, StartedAt: noon, By: system, At: noon.AddDate(1, 0, 0)}
	settle  = FinaliseErasure{Erasure: erasure, Retentions: Retentions{Backups: 9, Archives: 0, Snapshots: 8},
		Destruction: Destruction{At: noon.AddDate(0, 0, -10), WrappedBy: 3, OldestVersion: 4, TrimmedAt: noon.AddDate(0, 0, -10)}, By: system, At: noon}
	wrong    = domain.CorrectionID{UUID: uuid.UUID{9}}
	mistaken = DeathCorrectionProposed{Citizen: ana, Correction: wrong, At: noon, Personal: &CorrectionPersonal{CaseReference: "c"}}
	alive    = DeathCorrected{Citizen: ana, Correction: wrong, At: noon}
	mistake  = ProposeDeathCorrection{Correction: wrong, CaseReference: "c", By: officer, At: noon}
	agree    = Agreement{Correction: wrong, ProposedBy: officer, Comparable: true, By: second, At: noon}
	revive   = CorrectDeath{agree}

	bobsBirth  = Registered{Citizen: bob, At: noon}
	merging    = MergeProposed{Citizen: ana, Correction: wrong, Survivor: bob, At: noon, Personal: &CorrectionPersonal{CaseReference: "c"}}
	merged     = MergedInto{Citizen: ana, Survivor: bob, Correction: wrong, At: noon}
	takenIn    = Merged{Citizen: bob, Former: ana, Correction: wrong, At: noon}
	parting    = SeparationProposed{Citizen: ana, Correction: domain.CorrectionID{UUID: uuid.UUID{10}}, At: noon}
	parted     = Separated{Citizen: ana, Survivor: bob, Correction: domain.CorrectionID{UUID: uuid.UUID{10}}, At: noon}
	join       = ProposeMerge{Correction: wrong, Survivor: fold(bobsBirth), CaseReference: "c", By: officer, At: noon}
	mergeInto  = MergeInto{agree, fold(bobsBirth)}
	takeIn     = TakeIn{Correction: wrong, Former: fold(born, merging), By: second, At: noon}
	part       = ProposeSeparation{Correction: domain.CorrectionID{UUID: uuid.UUID{10}}, By: officer, At: noon}
	separate   = Separate{with(agree, func(a *Agreement) { a.Correction.UUID = uuid.UUID{10} })}
	withOthers = EraseWithSurvivor{Erasure: erasure, Lives: []domain.CitizenID{bob, ana}, By: system, At: noon}

	death = ReportDeath{Date: "2026-02-28", Attestors: []domain.Organisation{register}, By: source, At: noon}
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

func ssin(s string) domain.SSIN {
	n, err := domain.ParseSSIN(s)
	if err != nil {
		panic(err)
	}
	return n
}

func TestRules(t *testing.T) {
	former, now := ssin("85073003328"), ssin("72520100102")
	replace := ReplaceSSIN{Former: former, Now: now, Attestors: []domain.Organisation{register}, By: source, At: noon}
	erased := []Event{born, requested, approved, started, destroyed}
	twenty := []Event{born, died}
	for n := range byte(20) {
		twenty = append(twenty, with(mistaken, func(e *DeathCorrectionProposed) { e.Correction.UUID[1] = n + 1 }))
	}
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "P-1 a person is registered", When: arrive, Then: []Event{born}},
		{Name: "P-1 a person is registered once", Given: []Event{born}, When: arrive},
		{Name: "P-1 a consumer registers nobody", When: with(arrive, func(c *Register) { c.By.Role = domain.RoleConsumer }), Err: ErrMayNotRegister},
		{Name: "P-8 a citizen chooses what to hear of", Given: []Event{born}, When: choose, Then: []Event{chosen}},
		{Name: "P-8 the same choice again is on record again", Given: []Event{born, chosen}, When: choose, Then: []Event{chosen}},
		{Name: "P-8 another citizen does not choose", Given: []Event{born}, When: with(choose, func(c *SetPreferences) { c.By = stranger }), Err: ErrNotYourPreferences},
		{Name: "P-8 a representative does not choose", Given: []Event{born}, When: with(choose, func(c *SetPreferences) { c.By.Role = domain.RoleRepresentative }), Err: ErrNotYourPreferences},
		{Name: "P-8 a privacy officer does not choose", Given: []Event{born}, When: with(choose, func(c *SetPreferences) { c.By = officer }), Err: ErrNotYourPreferences},
		{Name: "P-8 a language that nobody writes in", Given: []Event{born}, When: with(choose, func(c *SetPreferences) { c.Language = "es" }), Err: ErrPreferences},
		{Name: "P-8 a way that there is not", Given: []Event{born}, When: with(choose, func(c *SetPreferences) { c.Accesses = "byPost" }), Err: ErrPreferences},
		{Name: "P-8 a matter without a way", Given: []Event{born}, When: with(choose, func(c *SetPreferences) { c.Consents = "" }), Err: ErrPreferences},
		{Name: "P-8 E-4 nothing is chosen by somebody whose erasure started", Given: []Event{born, requested, approved, started}, When: choose, Err: ErrErased},
		{Name: "P-8 nobody chooses before they are known", When: choose, Err: ErrUnknown},
		{Name: "P-2 the source reports a death", Given: []Event{born}, When: death, Then: []Event{died}},
		{Name: "P-2 a death is reported once", Given: []Event{born, died}, When: death},
		{Name: "P-2 nobody else reports a death", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.By.Organisation = "0671516647" }), Err: registry.ErrDeathRight},
		{Name: "P-2 a citizen does not report a death", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.By.Role = domain.RoleCitizen }), Err: registry.ErrDeathRight},
		{Name: "P-2 no death tomorrow", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.Date = "2026-03-02" }), Err: ErrDeathAhead},
		{Name: "P-2 no death before the birth", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.Date, c.Born = "1800-01-01", "1985-07-30" }), Err: ErrDeathBefore},
		{Name: "P-2 no death on the eve of the birth", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.Date, c.Born = "1985-07-29", "1985-07-30" }), Err: ErrDeathBefore},
		{Name: "P-2 a death on the day of the birth", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.Born = c.Date }), Then: []Event{died}},
		{Name: "P-2 a death has a date", Given: []Event{born}, When: with(death, func(c *ReportDeath) { c.Date = "" }), Err: ErrDateMissing},
		{Name: "P-2 nobody of that id", When: death, Err: ErrUnknown},
		{Name: "P-6 an officer says that a death was reported in error", Given: []Event{born, died}, When: mistake, Then: []Event{mistaken}},
		{Name: "P-6 the source does", Given: []Event{born, died}, When: with(mistake, func(c *ProposeDeathCorrection) {
			c.By, c.Attestors, c.CaseReference = source, []domain.Organisation{register}, ""
		}),
			Then: []Event{with(mistaken, func(e *DeathCorrectionProposed) { e.Personal = nil })}},
		{Name: "P-6 no other issuer does", Given: []Event{born, died}, When: with(mistake, func(c *ProposeDeathCorrection) { c.By = source }), Err: registry.ErrDeathRight},
		{Name: "P-6 the citizen doesn't", Given: []Event{born, died}, When: with(mistake, func(c *ProposeDeathCorrection) { c.By = self }), Err: ErrMayNotCorrect},
		{Name: "P-6 of nobody", When: mistake, Err: ErrUnknown},
		{Name: "P-6 of somebody living", Given: []Event{born}, When: mistake, Err: ErrNotDeceased},
		{Name: "P-6 of somebody erased", Given: append(erased, died), When: mistake, Err: ErrErased},
		{Name: "P-6 proposed once", Given: []Event{born, died, mistaken}, When: mistake},
		{Name: "P-6 proposed again under its id, carried out by then", Given: []Event{born, died, mistaken, alive}, When: mistake},
		{Name: "P-6 another officer decides", Given: []Event{born, died, mistaken}, When: revive, Then: []Event{alive}},
		{Name: "P-6 what was decided is decided", Given: []Event{born, died, mistaken, alive}, When: revive},
		{Name: "P-6 who proposed it doesn't decide", Given: []Event{born, died, mistaken}, When: with(revive, func(c *CorrectDeath) { c.By = officer }), Err: ErrCorrectionSecondPerson},
		{Name: "P-6 nor does who cannot be told from them", Given: []Event{born, died, mistaken}, When: with(revive, func(c *CorrectDeath) { c.Comparable = false }), Err: ErrCorrectionSecondPerson},
		{Name: "P-6 nor the source", Given: []Event{born, died, mistaken}, When: with(revive, func(c *CorrectDeath) { c.By = source }), Err: ErrNotOfficer},
		{Name: "P-6 nothing was proposed", Given: []Event{born, died}, When: revive, Err: ErrNoCorrection},
		{Name: "P-6 within thirty days", Given: []Event{born, died, mistaken}, When: with(revive, func(c *CorrectDeath) { c.At = noon.AddDate(0, 0, 30) }), Then: []Event{with(alive, func(e *DeathCorrected) { e.At = noon.AddDate(0, 0, 30) })}},
		{Name: "P-6 not later", Given: []Event{born, died, mistaken}, When: with(revive, func(c *CorrectDeath) { c.At = noon.AddDate(0, 0, 30).Add(time.Second) }), Err: ErrCorrectionLapsed},
		{Name: "P-6 another proposal was carried out", Given: []Event{born, died, mistaken, with(mistaken, func(e *DeathCorrectionProposed) { e.Correction.UUID[0] = 10 }), with(alive, func(e *DeathCorrected) { e.Correction.UUID[0] = 10 })}, When: revive, Err: ErrNotDeceased},
		{Name: "P-6 not while the person is being erased", Given: []Event{born, died, mistaken, requested, approved, started}, When: revive, Err: ErrErased},
		{Name: "P-2 a death is reported again after a correction", Given: []Event{born, died, mistaken, alive}, When: death, Then: []Event{died}},
		{Name: "P-6 twenty proposals wait at most", Given: twenty, When: mistake, Err: ErrManyCorrections},

		{Name: "P-7 an officer says that two lives are one person's", Given: []Event{born}, When: join, Then: []Event{merging}},
		{Name: "P-7 the source does", Given: []Event{born}, When: with(join, func(c *ProposeMerge) {
			c.By, c.Attestors, c.CaseReference = source, []domain.Organisation{register}, ""
		}), Then: []Event{with(merging, func(e *MergeProposed) { e.Personal = nil })}},
		{Name: "P-7 no other issuer does", Given: []Event{born}, When: with(join, func(c *ProposeMerge) { c.By = source }), Err: registry.ErrNationalNumberRight},
		{Name: "P-7 proposed once", Given: []Event{born, merging}, When: join},
		{Name: "P-7 of nobody", When: join, Err: ErrUnknown},
		{Name: "P-7 into nobody", Given: []Event{born}, When: with(join, func(c *ProposeMerge) { c.Survivor = State{} }), Err: ErrSurvivor},
		{Name: "P-7 into itself", Given: []Event{born}, When: with(join, func(c *ProposeMerge) { c.Survivor = fold(born) }), Err: ErrSurvivor},
		{Name: "P-7 into somebody who was merged", Given: []Event{born}, When: with(join, func(c *ProposeMerge) {
			c.Survivor = fold(bobsBirth, MergedInto{Citizen: bob, Survivor: domain.CitizenID{UUID: uuid.UUID{77}}})
		}), Err: ErrSurvivor},
		{Name: "P-7 one of both is deceased", Given: []Event{born, died}, When: join, Err: ErrMergeStanding},
		{Name: "P-7 an erasure of one of both is approved", Given: []Event{born, requested, approved}, When: join, Err: ErrMergeErasure},
		{Name: "P-7 an erasure of the other is", Given: []Event{born}, When: with(join, func(c *ProposeMerge) { c.Survivor = fold(bobsBirth, requested, approved) }), Err: ErrMergeErasure},
		{Name: "P-7 of somebody erased", Given: erased, When: join, Err: ErrErased},
		{Name: "P-7 another officer decides", Given: []Event{born, merging}, When: mergeInto, Then: []Event{merged}},
		{Name: "P-7 decided once", Given: []Event{born, merging, merged}, When: mergeInto},
		{Name: "P-7 who proposed it doesn't decide", Given: []Event{born, merging}, When: with(mergeInto, func(c *MergeInto) { c.By = officer }), Err: ErrCorrectionSecondPerson},
		{Name: "P-7 with the one who was proposed", Given: []Event{born, merging}, When: with(mergeInto, func(c *MergeInto) { c.Survivor = State{} }), Err: ErrSurvivor},
		{Name: "P-7 judged again", Given: []Event{born, merging, died}, When: mergeInto, Err: ErrMergeStanding},
		{Name: "P-7 the survivor says whom it takes in", Given: []Event{bobsBirth}, When: takeIn, Then: []Event{takenIn}},
		{Name: "P-7 once", Given: []Event{bobsBirth, takenIn}, When: takeIn},
		{Name: "P-7 not for somebody else", Given: []Event{bobsBirth}, When: with(takeIn, func(c *TakeIn) { c.By = source }), Err: ErrNotOfficer},
		{Name: "P-7 not once it is being erased", Given: []Event{bobsBirth, requested, approved, started}, When: takeIn, Err: ErrErased},
		{Name: "P-7 a merge is undone by two as well", Given: []Event{born, merging, merged}, When: part, Then: []Event{parting}},
		{Name: "P-7 of what is merged", Given: []Event{born}, When: part, Err: ErrNotMerged},
		{Name: "P-7 the source doesn't undo it", Given: []Event{born, merging, merged}, When: with(part, func(c *ProposeSeparation) { c.By = source }), Err: ErrMayNotCorrect},
		{Name: "P-7 another officer undoes it", Given: []Event{born, merging, merged, parting}, When: separate, Then: []Event{parted}},
		{Name: "P-7 not while both are forgotten", Given: []Event{born, merging, merged, parting, started}, When: separate, Err: ErrErased},
		{Name: "P-7 a merged life is written to no more", Given: []Event{born, merging, merged}, When: death, Err: ErrMerged},
		{Name: "P-7 nor erased by itself", Given: []Event{born, merging, merged}, When: request, Err: ErrMerged},
		{Name: "P-7 but one document of it is", Given: []Event{born, merging, merged}, When: with(request, func(c *RequestErasure) { c.Erasure, c.Scope, c.Document = partial, OneDocument, &card }), Then: []Event{oneAsked}},
		{Name: "E-1 unless a hold stands on another life", Given: []Event{born, merging, merged}, When: with(request, func(c *RequestErasure) {
			c.Erasure, c.Scope, c.Document, c.Others = partial, OneDocument, &card, []State{fold(bobsBirth, with(held, func(e *LegalHoldPlaced) { e.Citizen = bob }))}
		}), Err: ErrLegalHold},
		{Name: "E-1 a hold on another life stops the approval", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.Others = []State{fold(bobsBirth, held)} }), Err: ErrLegalHold},
		{Name: "E-1 and the start", Given: []Event{born, requested, approved}, When: with(start, func(c *StartErasure) { c.Others = []State{fold(bobsBirth, held)} }), Err: ErrLegalHold},
		{Name: "P-7 a merged life is forgotten with the survivor", Given: []Event{born, merging, merged}, When: withOthers, Then: []Event{started}},
		{Name: "P-7 begun once", Given: []Event{born, merging, merged, started}, When: withOthers},
		{Name: "P-7 and to the end", Given: []Event{born, merging, merged, started}, When: destroy, Then: []Event{destroyed}},
		{Name: "P-7 not without having been merged", Given: []Event{born}, When: withOthers, Err: ErrNotMerged},
		{Name: "P-7 nor into somebody else", Given: []Event{born, merging, merged}, When: with(withOthers, func(c *EraseWithSurvivor) { c.Lives = []domain.CitizenID{ana} }), Err: ErrNotMerged},
		{Name: "E-2 by the destroyer", Given: []Event{born, merging, merged}, When: with(withOthers, func(c *EraseWithSurvivor) { c.By = officer }), Err: ErrNotEraser},

		{Name: "P-3 the source replaces a number", Given: []Event{born}, When: replace,
			Then: []Event{SSINReplaced{Citizen: ana, At: noon, Personal: &SSINReplacedPersonal{Former: "85073003328", Now: "72520100102"}}}},
		{Name: "P-3 nobody else replaces a number", Given: []Event{born}, When: with(replace, func(c *ReplaceSSIN) { c.Attestors = nil }), Err: registry.ErrNationalNumberRight},
		{Name: "P-3 the number must change", Given: []Event{born}, When: with(replace, func(c *ReplaceSSIN) { c.Now = former }), Err: ErrSameSSIN},
		{Name: "P-3 not by a number of who is not born yet", Given: []Event{born}, When: with(replace, func(c *ReplaceSSIN) { c.Now = ssin("30061500156") }), Err: domain.ErrNotBorn},
		{Name: "P-3 nobody of that id", When: replace, Err: ErrUnknown},
		{Name: "P-4 an officer places a hold", Given: []Event{born}, When: place, Then: []Event{held}},
		{Name: "P-4 a hold without a case", Given: []Event{born}, When: with(place, func(c *PlaceHold) { c.CaseReference = "" }),
			Then: []Event{with(held, func(e *LegalHoldPlaced) { e.Personal = nil })}},
		{Name: "P-4 placing twice is no error", Given: []Event{born, held}, When: place},
		{Name: "P-4 nobody else places a hold", Given: []Event{born}, When: with(place, func(c *PlaceHold) { c.By = self }), Err: ErrNotOfficer},
		{Name: "P-4 a hold has a reason", Given: []Event{born}, When: with(place, func(c *PlaceHold) { c.Reason = "" }), Err: ErrReasonMissing},
		{Name: "P-4 no hold on nobody", When: place, Err: ErrUnknown},
		{Name: "P-4 an officer lifts a hold", Given: []Event{born, held}, When: lift, Then: []Event{lifted}},
		{Name: "P-4 lifting twice is no error", Given: []Event{born, held, lifted}, When: lift},
		{Name: "P-4 nobody else lifts a hold", Given: []Event{born, held}, When: with(lift, func(c *LiftHold) { c.By = self }), Err: ErrNotOfficer},
		{Name: "P-4 only what stands is lifted", Given: []Event{born}, When: lift, Err: ErrNoHold},

		{Name: "E-1 the citizen asks", Given: []Event{born}, When: request, Then: []Event{requested}},
		{Name: "E-1 the law asks for one document", Given: []Event{born}, When: RequestErasure{Erasure: partial, Scope: OneDocument, Document: &card, Reason: "citizenAsked", By: officer, At: noon}, Then: []Event{oneAsked}},
		{Name: "E-1 asking twice is no error", Given: []Event{born, requested}, When: request},
		{Name: "E-1 a stranger does not ask", Given: []Event{born}, When: with(request, func(c *RequestErasure) { c.By = stranger }), Err: ErrMayNotErase},
		{Name: "E-1 an issuer does not ask", Given: []Event{born}, When: with(request, func(c *RequestErasure) { c.By = source }), Err: ErrMayNotErase},
		{Name: "E-1 nobody of that id", When: with(request, func(c *RequestErasure) { c.By = officer }), Err: ErrUnknown},
		{Name: "E-1 one document must be named", Given: []Event{born}, When: with(request, func(c *RequestErasure) { c.Scope = OneDocument }), Err: ErrScope},
		{Name: "E-1 a citizen is no document", Given: []Event{born}, When: with(request, func(c *RequestErasure) { c.Document = &card }), Err: ErrScope},
		{Name: "E-1 an unknown scope", Given: []Event{born}, When: with(request, func(c *RequestErasure) { c.Scope = "all" }), Err: ErrScope},
		{Name: "E-1 a request has a reason", Given: []Event{born}, When: with(request, func(c *RequestErasure) { c.Reason = "" }), Err: ErrReasonMissing},
		{Name: "P-5 the citizen restricts processing", Given: []Event{born}, When: restrict, Then: []Event{restricted}},
		{Name: "P-5 of one document", Given: []Event{born}, When: with(restrict, func(c *RestrictProcessing) { c.Document = &card }), Then: []Event{ofCard}},
		{Name: "P-5 a privacy officer does", Given: []Event{born}, When: with(restrict, func(c *RestrictProcessing) { c.By = officer }), Then: []Event{byOfficer}},
		{Name: "P-5 nobody else does", Given: []Event{born}, When: with(restrict, func(c *RestrictProcessing) { c.By = stranger }), Err: ErrMayNotRestrict},
		{Name: "P-5 an issuer does not", Given: []Event{born}, When: with(restrict, func(c *RestrictProcessing) { c.By = source }), Err: ErrMayNotRestrict},
		{Name: "P-5 of nobody known", When: with(restrict, func(c *RestrictProcessing) { c.By = officer }), Err: ErrUnknown},
		{Name: "P-5 the same once more decides nothing", Given: []Event{born, restricted}, When: restrict},
		{Name: "P-5 a reason is needed", Given: []Event{born}, When: with(restrict, func(c *RestrictProcessing) { c.Reason = "" }), Err: ErrReasonMissing},
		{Name: "P-5 after an erasure has started it comes too late", Given: []Event{born, requested, approved, started}, When: restrict, Err: ErrErasureStarted},
		{Name: "P-5 of an erased person", Given: []Event{born, requested, approved, started, destroyed}, When: restrict, Err: ErrErased},
		{Name: "P-5 the citizen lifts what they asked for", Given: []Event{born, restricted}, When: release, Then: []Event{freed}},
		{Name: "P-5 the citizen does not lift what an officer asked for", Given: []Event{born, byOfficer}, When: release, Err: ErrNotYourRestriction},
		{Name: "P-5 an officer lifts it after telling the citizen", Given: []Event{born, restricted}, When: releases, Then: []Event{told}},
		{Name: "P-5 an officer says when the citizen was told", Given: []Event{born, restricted}, When: with(releases, func(c *LiftRestriction) { c.Informed = "" }), Err: ErrNotInformed},
		{Name: "P-5 the citizen was not told tomorrow", Given: []Event{born, restricted}, When: with(releases, func(c *LiftRestriction) { c.Informed = "2026-03-02" }), Err: ErrNotInformed},
		{Name: "P-5 who lifts their own was told by nobody", Given: []Event{born, restricted}, When: with(release, func(c *LiftRestriction) { c.Informed = "2026-03-01" }), Err: ErrNotInformed},
		{Name: "P-5 nobody else lifts it", Given: []Event{born, restricted}, When: with(release, func(c *LiftRestriction) { c.By = stranger }), Err: ErrMayNotRestrict},
		{Name: "Q-6 the answer to a petition lifts the restriction that came with it, whoever answers", Given: []Event{born, ofPetition}, When: answered, Then: []Event{RestrictionLifted{Citizen: ana, Restriction: petition.Restriction(), Informed: "2026-03-01", At: noon}}},
		{Name: "Q-6 an answer lifts no other restriction", Given: []Event{born, restricted}, When: with(answered, func(c *LiftRestriction) { c.Restriction = restricted.Restriction }), Err: ErrNoRestriction},
		{Name: "Q-6 an answer tells the citizen", Given: []Event{born, ofPetition}, When: with(answered, func(c *LiftRestriction) { c.Informed = "" }), Err: ErrNotInformed},
		{Name: "Q-6 who answers nothing lifts nothing", Given: []Event{born, ofPetition}, When: with(answered, func(c *LiftRestriction) { c.Petition = nil }), Err: ErrMayNotRestrict},
		{Name: "Q-6 answered twice", Given: []Event{born, ofPetition, RestrictionLifted{Citizen: ana, Restriction: petition.Restriction(), Informed: "2026-03-01", At: noon}}, When: answered},
		{Name: "P-5 lifted twice", Given: []Event{born, restricted, freed}, When: release},
		{Name: "P-5 lifting what there is not", Given: []Event{born}, When: release, Err: ErrNoRestriction},
		{Name: "E-1 refused while a restriction stands", Given: []Event{born, restricted}, When: request, Err: ErrRestrictionStands},
		{Name: "E-1 refused while a restriction of one of the documents stands", Given: []Event{born, ofCard}, When: request, Err: ErrRestrictionStands},
		{Name: "E-1 of another document than the restricted one", Given: []Event{born, ofCard}, When: with(request, func(c *RequestErasure) { c.Scope, c.Document = OneDocument, &other }),
			Then: []Event{with(requested, func(e *ErasureRequested) { e.Scope, e.Document = OneDocument, other })}},
		{Name: "E-1 a restriction that was lifted is none", Given: []Event{born, restricted, freed}, When: request, Then: []Event{requested}},
		{Name: "E-1 not approved while a restriction stands", Given: []Event{born, requested, restricted}, When: approve, Err: ErrRestrictionStands},
		{Name: "E-1 a restriction after the approval stops the start", Given: []Event{born, requested, approved, restricted}, When: start, Err: ErrRestrictionStands},
		{Name: "E-1 refused while a hold stands", Given: []Event{born, held}, When: request, Err: ErrLegalHold},
		{Name: "E-1 a lifted hold does not stand", Given: []Event{born, held, lifted}, When: request, Then: []Event{requested}},
		{Name: "E-1 a second person approves", Given: []Event{born, requested}, When: approve, Then: []Event{approved}},
		{Name: "E-1 one officer asks, another approves", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.RequestedBy, c.By = officer, second }), Then: []Event{approved}},
		{Name: "E-1 approving twice is no error", Given: []Event{born, requested, approved}, When: approve},
		{Name: "E-1 who asked does not approve", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.RequestedBy = officer }), Err: ErrSecondPerson},
		{Name: "E-1 who asked does not approve after the audit key rotated", Given: []Event{born, requested},
			When: with(approve, func(c *ApproveErasure) { c.RequestedBy, c.By, c.Aliases = officer, second, []string{"one", "two"} }), Err: ErrSecondPerson},
		{Name: "E-1 what waits and is asked for by another is one erasure", Given: []Event{born, requested}, When: with(request, func(c *RequestErasure) { c.Erasure, c.By = partial, officer }), Then: []Event{requested}},
		{Name: "E-1 what waits and is asked for again", Given: []Event{born, requested}, When: with(request, func(c *RequestErasure) { c.Erasure, c.Again = partial, true })},
		{Name: "E-1 what waits and is asked for again while a hold stands", Given: []Event{born, requested, held}, When: with(request, func(c *RequestErasure) { c.Erasure, c.Again = partial, true }), Err: ErrLegalHold},
		{Name: "E-1 what was approved and is asked for anew", Given: []Event{born, requested, approved}, When: with(request, func(c *RequestErasure) { c.Erasure = partial }),
			Then: []Event{with(requested, func(e *ErasureRequested) { e.Erasure = partial })}},
		{Name: "E-1 one document beside everything", Given: []Event{born, requested}, When: with(request, func(c *RequestErasure) { c.Erasure, c.Scope, c.Document = partial, OneDocument, &card }),
			Then: []Event{with(requested, func(e *ErasureRequested) { e.Erasure, e.Scope, e.Document = partial, OneDocument, card })}},
		{Name: "E-1 who asked later does not approve", Given: []Event{born, requested, requested}, When: with(approve, func(c *ApproveErasure) { c.AlsoRequestedBy = []domain.Actor{officer} }), Err: ErrSecondPerson},
		{Name: "E-1 neither of several who asked approves", Given: []Event{born, requested, requested}, When: with(approve, func(c *ApproveErasure) {
			c.RequestedBy, c.AlsoRequestedBy, c.By = officer, []domain.Actor{self}, second
		}), Then: []Event{approved}},
		{Name: "E-1 an officer does not approve what they asked as a citizen", Given: []Event{born, requested},
			When: with(approve, func(c *ApproveErasure) { c.By.Citizen = ana }), Err: ErrSecondPerson},
		{Name: "E-1 nobody knows who asked", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.RequestedBy = domain.Actor{} }), Err: ErrSecondPerson},
		{Name: "E-1 who asked cannot be compared any more", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.Comparable = false }), Err: ErrSecondPerson},
		{Name: "E-1 nobody knows who approves", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.By.Subject = "" }), Err: ErrSecondPerson},
		{Name: "E-1 a citizen does not approve", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.By = stranger }), Err: ErrNotOfficer},
		{Name: "E-1 nothing to approve", Given: []Event{born}, When: approve, Err: ErrNoErasure},
		{Name: "E-1 not approved while a hold stands", Given: []Event{born, requested, held}, When: approve, Err: ErrLegalHold},
		{Name: "E-1 not approved while a duty to keep stands", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.Documents = []RetainedDocument{free, bound} }), Err: ErrRetentionDuty},
		{Name: "E-1 a duty ends on its day", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.Documents = []RetainedDocument{past} }), Then: []Event{approved}},
		{Name: "E-1 a duty from an end that has not come stands", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.Documents = []RetainedDocument{ending} }), Err: ErrRetentionDuty},
		{Name: "E-1 a duty from an end runs out", Given: []Event{born, requested}, When: with(approve, func(c *ApproveErasure) { c.Documents = []RetainedDocument{ended} }), Then: []Event{approved}},
		{Name: "E-1 judged per key: another document's duty does not matter", Given: []Event{born, oneAsked},
			When: with(approve, func(c *ApproveErasure) {
				c.Erasure, c.Documents = partial, []RetainedDocument{free, with(bound, func(d *RetainedDocument) { d.Document = other })}
			}), Then: []Event{oneAgreed}},
		{Name: "E-1 a document nobody knows is not erased", Given: []Event{born, oneAsked}, When: with(approve, func(c *ApproveErasure) { c.Erasure = partial }), Err: ErrNothingToErase},
		{Name: "E-1 an approved erasure starts", Given: []Event{born, requested, approved}, When: start, Then: []Event{started}},
		{Name: "E-1 starting twice is no error", Given: []Event{born, requested, approved, started}, When: start},
		{Name: "E-1 nothing starts that was not approved", Given: []Event{born, requested}, When: start, Err: ErrNotApproved},
		{Name: "E-1 nothing to start", Given: []Event{born}, When: start, Err: ErrNoErasure},
		{Name: "E-1 a hold placed after the approval stops the start", Given: []Event{born, requested, approved, held}, When: start, Err: ErrLegalHold},
		{Name: "E-1 a duty found after the approval stops the start", Given: []Event{born, requested, approved}, When: with(start, func(c *StartErasure) { c.Documents = []RetainedDocument{bound} }), Err: ErrRetentionDuty},
		{Name: "E-1 holds are refused after the start", Given: []Event{born, requested, approved, started}, When: place, Err: ErrErasureStarted},
		{Name: "E-1 holds are refused while one document is being erased", Given: []Event{born, oneAsked, oneAgreed, oneBegun}, When: place, Err: ErrErasureStarted},
		{Name: "E-1 holds are possible again once a document is erased", Given: []Event{born, oneAsked, oneAgreed, oneBegun, oneDone}, When: place, Then: []Event{held}},
		{Name: "E-2 an officer does not start", Given: []Event{born, requested, approved}, When: with(start, func(c *StartErasure) { c.By = officer }), Err: ErrNotEraser},
		{Name: "E-2 an officer does not destroy", Given: []Event{born, requested, approved, started}, When: with(destroy, func(c *DestroyKey) { c.By = officer }), Err: ErrNotEraser},
		{Name: "E-3 destroyed keys are recorded", Given: []Event{born, requested, approved, started}, When: destroy, Then: []Event{destroyed}},
		{Name: "E-3 recorded even when a hold slipped in", Given: []Event{born, requested, approved, started, held}, When: destroy, Then: []Event{destroyed}},
		{Name: "E-3 recording twice is no error", Given: erased, When: destroy},
		{Name: "E-3 nothing is destroyed before the start", Given: []Event{born, requested, approved}, When: destroy, Err: ErrNotStarted},
		{Name: "E-3 nothing is destroyed unasked", Given: []Event{born}, When: destroy, Err: ErrNoErasure},
		{Name: "E-3 one document's erasure is no destruction of the citizen's key", Given: []Event{born, oneAsked, oneAgreed, oneBegun}, When: with(destroy, func(c *DestroyKey) { c.Erasure = partial }), Err: ErrScope},
		{Name: "E-3 one document's erasure ends", Given: []Event{born, oneAsked, oneAgreed, oneBegun}, When: done, Then: []Event{oneDone}},
		{Name: "E-3 ending twice is no error", Given: []Event{born, oneAsked, oneAgreed, oneBegun, oneDone}, When: done},
		{Name: "E-3 nothing ends before the start", Given: []Event{born, oneAsked, oneAgreed}, When: done, Err: ErrNotStarted},
		{Name: "E-3 nothing ends unasked", Given: []Event{born}, When: done, Err: ErrNoErasure},
		{Name: "E-3 a citizen's erasure ends with their key only", Given: []Event{born, requested, approved, started}, When: with(done, func(c *CompleteErasure) { c.Erasure = erasure }), Err: ErrScope},
		{Name: "E-2 an officer does not end an erasure", Given: []Event{born, oneAsked, oneAgreed, oneBegun}, When: with(done, func(c *CompleteErasure) { c.By = officer }), Err: ErrNotEraser},
		{Name: "E-1 a duty found right after the start stops the erasure", Given: []Event{born, requested, approved, started}, When: with(stop, func(c *StopErasure) { c.Documents = []RetainedDocument{free, bound} }),
			Then: []Event{with(halted, func(e *ErasureStopped) { e.At = noon.AddDate(1, 0, 0) })}},
		{Name: "E-1 without a duty it goes on", Given: []Event{born, requested, approved, started}, When: with(stop, func(c *StopErasure) { c.Documents = []RetainedDocument{free, past} })},
		{Name: "E-1 the duty of another document does not stop one document's erasure", Given: []Event{born, oneAsked, oneAgreed, oneBegun},
			When: with(stop, func(c *StopErasure) {
				c.Erasure, c.Documents = partial, []RetainedDocument{free, with(bound, func(d *RetainedDocument) { d.Document = other })}
			})},
		{Name: "E-1 stopped once", Given: []Event{born, requested, approved, started, halted}, When: with(stop, func(c *StopErasure) { c.Documents = []RetainedDocument{bound} })},
		{Name: "E-1 what is destroyed is not stopped", Given: erased, When: with(stop, func(c *StopErasure) { c.Documents = []RetainedDocument{bound} })},
		{Name: "E-1 nothing stops before the start", Given: []Event{born, requested, approved}, When: stop, Err: ErrNotStarted},
		{Name: "E-1 nothing to stop", Given: []Event{born}, When: stop, Err: ErrNoErasure},
		{Name: "E-2 an officer does not stop", Given: []Event{born, requested, approved, started}, When: with(stop, func(c *StopErasure) { c.By = officer }), Err: ErrNotEraser},
		{Name: "E-1 after a stop all is as before: holds are possible", Given: []Event{born, requested, approved, started, halted}, When: place, Then: []Event{held}},
		{Name: "E-1 after a stop the same erasure does not start again", Given: []Event{born, requested, approved, started, halted}, When: start},
		{Name: "E-1 after a stop another may be asked for", Given: []Event{born, requested, approved, started, halted}, When: RequestErasure{Erasure: partial, Scope: OneDocument, Document: &card, Reason: "citizenAsked", By: officer, At: noon}, Then: []Event{oneAsked}},
		{Name: "E-3 destroyed in spite of a stop is on record", Given: []Event{born, requested, approved, started, halted}, When: destroy, Then: []Event{destroyed}},
		{Name: "E-3 final when no copy is left", Given: erased, When: settle, Then: []Event{forGood}},
		{Name: "E-3 final for one document", Given: []Event{born, oneAsked, oneAgreed, oneBegun, oneDone}, When: with(settle, func(c *FinaliseErasure) { c.Erasure = partial }),
			Then: []Event{with(forGood, func(e *ErasureFinalised) { e.Erasure = partial })}},
		{Name: "E-3 final once", Given: append(slices.Clone(erased), forGood), When: settle},
		{Name: "E-3 not final before the keys are destroyed", Given: []Event{born, requested, approved, started}, When: settle, Err: ErrNotDestroyed},
		{Name: "E-3 not final after a stop", Given: []Event{born, requested, approved, started, halted}, When: settle, Err: ErrNotDestroyed},
		{Name: "E-3 not final when nobody asked", Given: []Event{born}, When: settle, Err: ErrNoErasure},
		{Name: "E-3 not final while the version that wrapped is there", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.Destruction.OldestVersion = 3 }), Err: ErrNotTrimmed},
		{Name: "E-3 not final while no trim was seen", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.Destruction.TrimmedAt = time.Time{} }), Err: ErrNotTrimmed},
		{Name: "E-3 not final while the version is unknown", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.Destruction.WrappedBy = 0 }), Err: ErrNotTrimmed},
		{Name: "E-3 not final on the last day of a backup", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.Retentions.Backups = 10 }), Err: ErrCopiesKept},
		{Name: "E-3 not final on the last day of an archive", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.Retentions.Archives = 10 }), Err: ErrCopiesKept},
		{Name: "E-3 not final on the last day of a snapshot, which counts from the trim", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.Destruction.TrimmedAt = noon.AddDate(0, 0, -8) }), Err: ErrCopiesKept},
		{Name: "E-2 an officer does not finalise", Given: erased, When: with(settle, func(c *FinaliseErasure) { c.By = officer }), Err: ErrNotEraser},
		{Name: "E-4 final stays erased", Given: append(slices.Clone(erased), forGood), When: arrive, Err: ErrErased},
		{Name: "E-4 nothing is written while erasing", Given: []Event{born, requested, approved, started}, When: death, Err: ErrErased},
		{Name: "E-4 no registration while erasing", Given: []Event{born, requested, approved, started}, When: arrive, Err: ErrErased},
		{Name: "E-4 erased stays erased", Given: erased, When: arrive, Err: ErrErased},
		{Name: "E-4 no new life under the former id", Given: erased, When: with(arrive, func(c *Register) { c.Suppressed, c.NewLife, c.Basis = true, true, "06.1c" }), Err: ErrErased},
		{Name: "E-4 no hold on an erased citizen", Given: erased, When: place, Err: ErrErased},
		{Name: "E-4 nothing more is asked of an erased citizen", Given: erased, When: with(request, func(c *RequestErasure) { c.Erasure = partial }), Err: ErrErased},
		{Name: "E-4 another approval comes too late", Given: append([]Event{oneAsked}, erased...), When: with(approve, func(c *ApproveErasure) { c.Erasure = partial }), Err: ErrErased},
		{Name: "E-4 another start comes too late", Given: append([]Event{oneAsked, oneAgreed}, erased...), When: with(start, func(c *StartErasure) { c.Erasure = partial }), Err: ErrErased},
		{Name: "E-4 a suppressed person is not registered", When: with(arrive, func(c *Register) { c.Suppressed = true }), Err: ErrErased},
		{Name: "E-4 a new life has a basis", When: with(arrive, func(c *Register) { c.Suppressed, c.NewLife = true, true }), Err: ErrNoLegalBasis},
		{Name: "E-4 a new life follows an erasure", When: with(arrive, func(c *Register) { c.NewLife, c.Basis = true, "06.1c" }), Err: ErrNotErased},
		{Name: "E-4 a new life", When: with(arrive, func(c *Register) { c.Suppressed, c.NewLife, c.Basis = true, true, "06.1c" }),
			Then: []Event{Registered{Citizen: ana, NewLife: true, Basis: "06.1c", At: noon}}},
	})
}

func text(v any) string { return fmt.Sprintf("%+v", v) }

func fold(events ...Event) (s State) {
	for _, e := range events {
		s = Evolve(s, e)
	}
	return s
}

// E-1: the destroyer looks again before the first key.
func TestMayDestroy(t *testing.T) {
	begun := []Event{born, requested, approved, started}
	for _, tc := range []struct {
		name  string
		given []Event
		want  error
	}{
		{"started", begun, nil},
		{"a hold slipped in", append(begun, held), ErrLegalHold},
		{"and was lifted", append(begun, held, lifted), nil},
		{"a restriction slipped in", append(begun, restricted), ErrRestrictionStands},
		{"and was lifted too", append(begun, restricted, freed), nil},
		{"only approved", begun[:3], ErrNotStarted},
		{"done", append(begun, destroyed), ErrNotStarted},
		{"unknown", begun[:1], ErrNoErasure},
	} {
		if err := fold(tc.given...).MayDestroy(erasure); !errors.Is(err, tc.want) {
			t.Errorf("E-1 %s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// P-5: a restriction covers everything or its document, from when it was asked for until it
// is lifted, but not what the citizen consented to afterwards.
func TestRestrictionsCover(t *testing.T) {
	var none domain.DocumentID
	for _, tc := range []struct {
		name             string
		given            []Event
		all, card, other bool
	}{
		{"none", []Event{born}, false, false, false},
		{"of everything", []Event{born, restricted}, true, true, true},
		{"of one document", []Event{born, ofCard}, false, true, false},
		{"lifted", []Event{born, restricted, freed}, false, false, false},
		{"lifted, and asked for again", []Event{born, restricted, freed, with(ofCard, func(e *ProcessingRestricted) { e.Restriction.UUID[1] = 1 })}, false, true, false},
	} {
		r := fold(tc.given...).Restrictions
		if r.Cover(none) != tc.all || r.Cover(card) != tc.card || r.Cover(other) != tc.other {
			t.Errorf("P-5 %s: %v %v %v", tc.name, r.Cover(none), r.Cover(card), r.Cover(other))
		}
		for consented, stops := range map[time.Time]bool{noon.Add(-1): tc.card, noon: tc.card, noon.Add(1): false} {
			if got := r.CoverDespite(card, consented); got != stops {
				t.Errorf("P-5 %s, consent at %s: %v", tc.name, consented, got)
			}
		}
	}
	var many []Event
	for i := range MaxRestrictions {
		many = append(many, with(restricted, func(e *ProcessingRestricted) { e.Restriction.UUID[2] = byte(i + 1) }))
	}
	if _, err := restrict.Decide(fold(append([]Event{born}, many...)...)); !errors.Is(err, ErrManyRestrictions) {
		t.Errorf("P-5 one more than %d: %v", MaxRestrictions, err)
	}
}

// E-1: the refusal says which holds and which duties.
func TestObstaclesSayWhich(t *testing.T) {
	_, err := with(start, func(c *StartErasure) { c.Documents = []RetainedDocument{bound} }).Decide(fold(born, requested, approved, held))
	var o *Obstacles
	if !errors.As(err, &o) || !errors.Is(err, ErrLegalHold) || !errors.Is(err, ErrRetentionDuty) {
		t.Fatalf("err = %v", err)
	}
	want := Obstacles{Holds: []Hold{{ID: hold, Reason: "litigation"}}, Duties: []Duty{{Document: card, Type: "isiPlusCard", Rule: "law", Until: "2026-03-02"}}}
	if !reflect.DeepEqual(*o, want) {
		t.Errorf("got %+v", *o)
	}
	for _, word := range []string{hold.String(), "litigation", card.String(), "law"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %s", err, word)
		}
	}
}

func TestStanding(t *testing.T) {
	for want, given := range map[Standing][]Event{
		"":      nil,
		Living:  {born, died, mistaken, alive, oneAsked, oneAgreed, oneBegun, requested, approved, started, halted},
		Dead:    {born, died, mistaken, alive, died},
		Joined:  {born, merging, merged, parting, parted, merged},
		Erasing: {born, died, requested, approved, started},
		Erased:  {born, requested, approved, started, destroyed, died},
	} {
		if got := fold(given...).Standing(); got != want {
			t.Errorf("standing %q, want %q", got, want)
		}
	}
}

// Whatever is asked, in whatever order, by whomever: E-1 no erasure starts while
// a hold or a duty stands, steps never go back, E-4 erased is final, decisions
// are repeatable and no state is changed by what follows it.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(name string, of ...domain.Actor) domain.Actor { return rapid.SampledFrom(of).Draw(t, name) }
		var s State
		var past []State
		var texts []string
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			by := pick("by", self, officer, second, system, source)
			id := rapid.SampledFrom([]domain.ErasureID{erasure, partial}).Draw(t, "erasure")
			documents := rapid.SampledFrom([][]RetainedDocument{nil, {free}, {bound}}).Draw(t, "documents")
			var cmd domaintest.Command[State, Event]
			switch rapid.IntRange(0, 13).Draw(t, "command") {
			case 0:
				cmd = with(arrive, func(c *Register) { c.By = by })
			case 1:
				cmd = with(death, func(c *ReportDeath) { c.By = by })
			case 2:
				cmd = with(place, func(c *PlaceHold) { c.By = officer })
			case 3:
				cmd = with(lift, func(c *LiftHold) { c.By = officer })
			case 4:
				cmd = with(request, func(c *RequestErasure) {
					if c.Erasure = id; id == partial {
						c.Scope, c.Document = OneDocument, &card
					}
				})
			case 5, 6:
				cmd = with(approve, func(c *ApproveErasure) { c.Erasure, c.Documents = id, documents })
			case 7:
				cmd = with(start, func(c *StartErasure) { c.Erasure, c.Documents = id, documents })
			case 8:
				cmd = with(destroy, func(c *DestroyKey) { c.Erasure = id })
			case 9:
				cmd = with(done, func(c *CompleteErasure) { c.Erasure = id })
			case 10:
				cmd = with(stop, func(c *StopErasure) { c.Erasure, c.Documents = id, documents })
			case 12:
				cmd = with(mistake, func(c *ProposeDeathCorrection) { c.By = by })
			case 13:
				cmd = with(revive, func(c *CorrectDeath) { c.By = by })
			case 11:
				cmd = with(settle, func(c *FinaliseErasure) { c.Erasure = id })
			}
			before := s
			events, err := cmd.Decide(s)
			again, err2 := cmd.Decide(s)
			if !reflect.DeepEqual(events, again) || (err == nil) != (err2 == nil) {
				t.Fatalf("same question, other answer: %+v %v, %+v %v", events, err, again, err2)
			}
			past, texts = append(past, s), append(texts, text(s))
			for _, e := range events {
				if f, ok := e.(ErasureFinalised); ok {
					if was, _ := before.Erasure(f.Erasure); was.Step != Done {
						t.Fatal("final before it was done")
					}
				}
				if _, ok := e.(ErasureStarted); ok {
					for _, h := range before.Holds {
						if !h.Lifted {
							t.Fatal("started under a hold")
						}
					}
					if len(documents) > 0 && documents[0].Retention.Duty {
						t.Fatal("started under a duty to keep")
					}
				}
				s = Evolve(s, e)
			}
			for _, was := range before.Erasures {
				if now, _ := s.Erasure(was.ID); now.Step < was.Step {
					t.Fatalf("an erasure went back from %d to %d", was.Step, now.Step)
				}
			}
			if before.Standing() == Erased && s.Standing() != Erased {
				t.Fatal("came back from erasure")
			}
		}
		for i := range past {
			if text(past[i]) != texts[i] {
				t.Fatal("a state changed after it was handed out")
			}
		}
	})
}

// What retention lets go of is what a duty to keep does not stand for.
func TestDue(t *testing.T) {
	for _, tc := range []struct {
		name     string
		document RetainedDocument
		since    domain.Date
		due      bool
	}{
		{"a term of the registry's own runs", free, "2036-01-01", false},
		{"a duty runs", bound, "2026-03-02", false},
		{"a duty is over on its day", past, "2026-03-01", true},
		{"it has not ended", ending, "", false},
		{"it ended long enough ago", ended, "2026-03-01", true},
	} {
		since, due := tc.document.Due("2026-03-01")
		if since != tc.since || due != tc.due {
			t.Errorf("%s: %s %v", tc.name, since, due)
		}
	}
}

// E-4: from the start of an erasure on nothing more is attested in what it covers.
func TestClosed(t *testing.T) {
	for _, tc := range []struct {
		name        string
		given       []Event
		card, other bool
	}{
		{"nobody", nil, false, false},
		{"approved", []Event{born, requested, approved}, false, false},
		{"started", []Event{born, requested, approved, started}, true, true},
		{"stopped", []Event{born, requested, approved, started, halted}, false, false},
		{"destroyed", []Event{born, requested, approved, started, destroyed}, true, true},
		{"final", []Event{born, requested, approved, started, destroyed, forGood}, true, true},
		{"one document", []Event{born, oneAsked, oneAgreed, oneBegun}, true, false},
		{"one document, done", []Event{born, oneAsked, oneAgreed, oneBegun, oneDone}, true, false},
	} {
		if s := fold(tc.given...); s.OnHold() || s.Closed(card) != tc.card || s.Closed(other) != tc.other {
			t.Errorf("E-4 %s: %v %v", tc.name, s.Closed(card), s.Closed(other))
		}
	}
}

// States are shared between goroutines: what follows one never changes it.
func TestImmutable(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		n := rapid.Byte().Draw(t, "id")
		if rapid.IntRange(0, 9).Draw(t, "grow") > 0 {
			id := uuid.UUID{n, rapid.Byte().Draw(t, "more")}
			return rapid.SampledFrom([]Event{LegalHoldPlaced{Hold: domain.HoldID{UUID: id}}, ErasureRequested{Erasure: domain.ErasureID{UUID: id}}}).Draw(t, "growth")
		}
		return rapid.SampledFrom([]Event{
			born, died, approved, started, destroyed, requested, oneDone, halted, forGood,
			LegalHoldLifted{Hold: domain.HoldID{UUID: uuid.UUID{n}}}, held, lifted,
			restricted, freed, ProcessingRestricted{Restriction: domain.RestrictionID{UUID: uuid.UUID{n}}},
			SSINReplaced{Citizen: ana, At: noon}, chosen,
		}).Draw(t, "event")
	})
}

// E-1: a late approval or start takes nothing back.
func TestStepsOnlyGoUp(t *testing.T) {
	s := fold(born, requested, approved, started, destroyed, started, approved, requested)
	if e, _ := s.Erasure(erasure); e.Step != Done || s.Standing() != Erased {
		t.Errorf("E-1 back at step %d", e.Step)
	}
}
