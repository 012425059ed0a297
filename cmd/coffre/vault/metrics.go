package vault

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"coffre/eventstore/proof"
	"coffre/eventstore/seal"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/reactors/webhook"
)

// metrics are the figures that an operator scrapes. Labels hold operations, statuses and names
// of read models: nothing of a caller or a citizen.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	underWay func() int // requests of the public address; nil: it is not served yet
}

func newMetrics(v *Instance) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffre_requests_total", Help: "Requests answered, by operation of the contract and status.",
		}, []string{"operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffre_request_duration_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: []float64{.01, .05, .25, 1, 5, 30}, // coarse: what one request took is nobody's to see
		}, []string{"operation"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffre_refused_total", Help: "Requests answered by a problem, by operation of the contract and the last word of the problem's type.",
		}, []string{"operation", "problem"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.duration, m.refused, projectionMetrics{v}, checkpointMetrics{v}, keeperMetrics{v}, quotaMetrics{v}, webhookMetrics{v}, brokerMetrics{v}, eboxMetrics{v}, clockMetrics{v}, spanMetrics{v}, healthMetrics{v}, erasureMetrics{v}, suppressionMetrics{v}, figureMetrics{v},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_log_damaged_records", Help: "Records whose checksum did not hold when the log was last verified, once a day.",
		}, func() float64 { return float64(v.damaged.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_disk_short", Help: "1 while the disk has no room but for withdrawals, revocations and the like, or that of a PostgreSQL has none, 0 otherwise.",
		}, func() float64 {
			if v.shortOfRoom() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_requests_under_way", Help: "Requests with a caller that the process is answering or has queued now; beyond 1,024 others are told to try again.",
		}, func() float64 {
			if m.underWay == nil {
				return 0
			}
			return float64(m.underWay())
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_log_tampered_places", Help: "Places in the log, and sealed parts, found changed or gone since the process started.",
		}, func() float64 { return float64(v.alarm.count()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffre_key_reads_total", Help: "Queries of the key database for content keys that were not in memory.",
		}, func() float64 { return float64(v.Ring.KeyReads()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_traffic_unwritten_age_seconds", Help: "Time since the oldest request was counted that is not in the figures of traffic yet; 0 when there is none, some 60 while all is well.",
		}, func() float64 { return v.Core.Traffic.Unwritten().Seconds() }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffre_files_removed_total", Help: "Uploaded files that the sweep removed: no document named them in time, or it was erased.",
		}, func() float64 { return float64(v.Core.RemovedFiles()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffre_kurrent_refused_total", Help: "Calls on the port for KurrentDB's clients without a name and password that may come in.",
		}, func() float64 { return float64(v.portRefused.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffre_kurrent_dropped_total", Help: "Connections on that port that were closed because there were too many, or nobody was let in on them in time.",
		}, func() float64 { return float64(v.portDropped.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffre_kurrent_paused_total", Help: "Times that an address had to wait on that port for its wrong passwords.",
		}, func() float64 { return float64(v.portPaused.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_identity_provider_usable", Help: "1 while keys of the identity provider are known that count, or none is configured; 0 while nobody can be let in.",
		}, func() float64 {
			if v.strange() {
				return 0
			}
			return 1
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffre_key_damaged_rows", Help: "Rows of the key database that are damaged, by the last walk over it or by who needed one; a table that lacks rows counts as one.",
		}, func() float64 { return float64(v.damagedRows()) }))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// observe counts one request; an operation the contract does not name is "none".
func (m *metrics) observe(o edge.Observed) {
	operation := cmp.Or(o.Operation, "none")
	m.requests.WithLabelValues(operation, strconv.Itoa(o.Status)).Inc()
	duration := m.duration.WithLabelValues(operation)
	if with, can := duration.(prometheus.ExemplarObserver); can && o.Trace != "" {
		with.ObserveWithExemplar(o.Took.Seconds(), prometheus.Labels{"trace_id": o.Trace})
		return
	}
	duration.Observe(o.Took.Seconds())
}

// refuse counts one request that was answered by a problem.
func (m *metrics) refuse(operation, problem string) {
	if operation == "" {
		operation = "none"
	}
	m.refused.WithLabelValues(operation, problem).Inc()
}

var (
	leafMetric = prometheus.NewDesc("coffre_log_leaves", "Events in the log.", nil, nil)
	lagMetric  = prometheus.NewDesc("coffre_projection_lag_events", "Events a read model has not taken in yet.", []string{"projection"}, nil)
	upMetric   = prometheus.NewDesc("coffre_projection_running", "1 while a read model follows the log, 0 when it was stopped by an event or a fault, or fails again and again.", []string{"projection"}, nil)
)

// projectionMetrics asks the runner when it is scraped.
type projectionMetrics struct{ v *Instance }

func (projectionMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- leafMetric
	out <- lagMetric
	out <- upMetric
}

func (p projectionMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := p.v.Runner.Status(ctx)
	if err != nil {
		return // the log cannot be read; the scrape says so by what is missing
	}
	for i, s := range all {
		if i == 0 {
			out <- prometheus.MustNewConstMetric(leafMetric, prometheus.GaugeValue, float64(s.HeadLeaf+1))
		}
		running := 0.0
		if s.Running() {
			running = 1
		}
		out <- prometheus.MustNewConstMetric(lagMetric, prometheus.GaugeValue, float64(s.Lag), s.Name)
		out <- prometheus.MustNewConstMetric(upMetric, prometheus.GaugeValue, running, s.Name)
	}
}

var (
	checkpointAgeMetric    = prometheus.NewDesc("coffre_checkpoint_age_seconds", "Time since the last checkpoint of the log was signed; absent before the first. Without news one is signed each minute.", nil, nil)
	witnessedAgeMetric     = prometheus.NewDesc("coffre_checkpoint_witnessed_age_seconds", "Time since the last checkpoint was signed that has as many cosignatures as the policy asks for; absent without a policy, and before the first.", nil, nil)
	witnessAgeMetric       = prometheus.NewDesc("coffre_witness_age_seconds", "Time since the last checkpoint was signed that a witness cosigned, by its name in the policy; absent before the first.", []string{"witness"}, nil)
	witnessTroubleMetric   = prometheus.NewDesc("coffre_witness_trouble", "1 for the reason why a witness does not cosign, as the process knows that asks it: away, strange, unknownLog, unknownKey, unkept; forgot, ahead and disagrees tell of another history.", []string{"witness", "trouble"}, nil)
	checkpointLeavesMetric = prometheus.NewDesc("coffre_checkpoint_leaves", "Events that the last checkpoint of the log covers.", nil, nil)
)

// checkpointMetrics read the last checkpoint when they are scraped.
type checkpointMetrics struct{ v *Instance }

func (checkpointMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- checkpointAgeMetric
	out <- witnessedAgeMetric
	out <- witnessAgeMetric
	out <- witnessTroubleMetric
	out <- checkpointLeavesMetric
}

func (c checkpointMetrics) Collect(out chan<- prometheus.Metric) {
	if c.v.publisher == nil {
		return // a process that publishes none
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	note, err := c.v.publisher.Last(ctx)
	if err != nil || note == nil {
		return // the scrape says so by what is missing
	}
	last, err := proof.Peek(note)
	if err != nil {
		return
	}
	out <- prometheus.MustNewConstMetric(checkpointAgeMetric, prometheus.GaugeValue, time.Since(last.Time).Seconds())
	out <- prometheus.MustNewConstMetric(checkpointLeavesMetric, prometheus.GaugeValue, float64(last.Size))
	c.witnesses(ctx, out)
}

// witnesses tells of those that are asked.
func (c checkpointMetrics) witnesses(ctx context.Context, out chan<- prometheus.Metric) {
	all, err := c.v.cosigning.Status(ctx)
	if err != nil || len(all) == 0 {
		return
	}
	for _, w := range all {
		if !w.Last.IsZero() {
			out <- prometheus.MustNewConstMetric(witnessAgeMetric, prometheus.GaugeValue, time.Since(w.Last).Seconds(), w.Name)
		}
		if w.Trouble != "" {
			out <- prometheus.MustNewConstMetric(witnessTroubleMetric, prometheus.GaugeValue, 1, w.Name, string(w.Trouble))
		}
	}
	note, err := c.v.cosigning.Enough(ctx)
	if err != nil || note == nil {
		return
	}
	if enough, err := proof.Peek(note); err == nil {
		out <- prometheus.MustNewConstMetric(witnessedAgeMetric, prometheus.GaugeValue, time.Since(enough.Time).Seconds())
	}
}

var healthMetric = prometheus.NewDesc("coffre_health", "1 for what /health says now, 0 for the others; /readyz of the operators' address says why.", []string{"status"}, nil)

// healthMetrics find out how the vault does when they are scraped.
type healthMetrics struct{ v *Instance }

func (healthMetrics) Describe(out chan<- *prometheus.Desc) { out <- healthMetric }

func (h healthMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	now := h.v.Health(ctx)
	for _, status := range []contract.HealthStatus{contract.HealthStatusUP, contract.HealthStatusDEGRADED, contract.HealthStatusDOWN} {
		is := 0.0
		if status == now {
			is = 1
		}
		out <- prometheus.MustNewConstMetric(healthMetric, prometheus.GaugeValue, is, string(status))
	}
}

var (
	approvedMetric    = prometheus.NewDesc("coffre_erasure_approved_age_seconds", "Time since the oldest erasure was approved whose keys are not destroyed yet; 0 when there is none.", nil, nil)
	provisionalMetric = prometheus.NewDesc("coffre_erasure_provisional_age_seconds", "Time since the oldest destruction of keys whose certificate is not final yet; 0 when there is none.", nil, nil)
)

// erasureMetrics ask the read model of erasures when they are scraped.
type erasureMetrics struct{ v *Instance }

func (erasureMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- approvedMetric
	out <- provisionalMetric
}

func (e erasureMetrics) Collect(out chan<- prometheus.Metric) {
	model := e.v.Core.Erasures
	if model == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	unfinished, err := model.Unfinished(ctx)
	if err != nil {
		return // the scrape says so by what is missing
	}
	provisional, err := model.Provisional(ctx)
	if err != nil {
		return
	}
	var approved, destroyed time.Time
	for _, one := range unfinished {
		approved = earlier(approved, one.ApprovedAt)
	}
	for _, one := range provisional {
		destroyed = earlier(destroyed, one.DoneAt)
	}
	out <- prometheus.MustNewConstMetric(approvedMetric, prometheus.GaugeValue, secondsSince(approved))
	out <- prometheus.MustNewConstMetric(provisionalMetric, prometheus.GaugeValue, secondsSince(destroyed))
}

var suppressionsMetric = prometheus.NewDesc("coffre_suppressions", "Numbers of erased persons that are remembered, by state: kept, reviewDue, ending.", []string{"state"}, nil)

// suppressionMetrics count what is remembered of erased persons when they are scraped.
type suppressionMetrics struct{ v *Instance }

func (suppressionMetrics) Describe(out chan<- *prometheus.Desc) { out <- suppressionsMetric }

func (s suppressionMetrics) Collect(out chan<- prometheus.Metric) {
	if s.v.keys == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	counts, err := s.v.Ring.CountSuppressions(ctx, time.Now().Add(-s.v.Core.Review))
	if err != nil {
		return // the scrape says so by what is missing
	}
	for state, name := range map[seal.SuppressionState]contract.SuppressionState{
		seal.Kept: contract.SuppressionStateKept, seal.ReviewDue: contract.SuppressionStateReviewDue, seal.Ending: contract.SuppressionStateEnding,
	} {
		out <- prometheus.MustNewConstMetric(suppressionsMetric, prometheus.GaugeValue, float64(counts[state]), string(name))
	}
}

// earlier returns the earlier of two moments; a zero moment is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func secondsSince(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return time.Since(at).Seconds()
}

var (
	loginMetric   = prometheus.NewDesc("coffre_vault_logged_in", "1 while this identity has a token of Vault that has not ended.", []string{"identity"}, nil)
	breakerMetric = prometheus.NewDesc("coffre_vault_breaker_open", "1 while calls of this identity to Vault are not sent, because those before failed.", []string{"identity"}, nil)
)

// keeperMetrics tell how the logins at Vault stand, without asking it.
type keeperMetrics struct{ v *Instance }

func (keeperMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- loginMetric
	out <- breakerMetric
}

func (k keeperMetrics) Collect(out chan<- prometheus.Metric) {
	number := map[bool]float64{true: 1}
	for _, s := range k.v.keeper.states() {
		out <- prometheus.MustNewConstMetric(loginMetric, prometheus.GaugeValue, number[s.LoggedIn], s.Identity)
		out <- prometheus.MustNewConstMetric(breakerMetric, prometheus.GaugeValue, number[s.Open], s.Identity)
	}
}

var (
	peopleMetric    = prometheus.NewDesc("coffre_quota_people_total", "People counted among those whom an organisation named in a day, by operation.", []string{"operation"}, nil)
	exhaustedMetric = prometheus.NewDesc("coffre_quota_exhausted_total", "Calls refused because the organisation had named as many people as it may in a day.", []string{"operation"}, nil)
	takenMetric     = prometheus.NewDesc("coffre_budget_taken_total", "Places taken in a budget for what callers leave in the vault, by budget and operation (docs/limits.md).", []string{"budget", "operation"}, nil)
	spentMetric     = prometheus.NewDesc("coffre_budget_refused_total", "Calls refused because a budget was used up, by budget and operation; calls of a minute have none.", []string{"budget", "operation"}, nil)
	slowedMetric    = prometheus.NewDesc("coffre_quota_slowed_total", "Calls not judged because the organisation was refused too often in that minute.", []string{"operation"}, nil)
)

// quotaMetrics tell how near organisations come to their quotas, without naming one.
type quotaMetrics struct{ v *Instance }

func (quotaMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- peopleMetric
	out <- exhaustedMetric
	out <- slowedMetric
	out <- takenMetric
	out <- spentMetric
}

func (q quotaMetrics) Collect(out chan<- prometheus.Metric) {
	for _, s := range q.v.Core.Quotas.Totals() {
		out <- prometheus.MustNewConstMetric(peopleMetric, prometheus.CounterValue, float64(s.People), s.Operation)
		out <- prometheus.MustNewConstMetric(exhaustedMetric, prometheus.CounterValue, float64(s.Exhausted), s.Operation)
		out <- prometheus.MustNewConstMetric(slowedMetric, prometheus.CounterValue, float64(s.Slowed), s.Operation)
	}
	for _, s := range q.v.Core.Quotas.BudgetTotals() {
		out <- prometheus.MustNewConstMetric(takenMetric, prometheus.CounterValue, float64(s.Taken), s.Budget, s.Operation)
		out <- prometheus.MustNewConstMetric(spentMetric, prometheus.CounterValue, float64(s.Refused), s.Budget, s.Operation)
	}
}

var (
	eboxMessagesMetric = prometheus.NewDesc("coffre_ebox_messages", "Messages for My eBox by how far they are; absent where nobody is written to.", []string{"state"}, nil)
	eboxLooseMetric    = prometheus.NewDesc("coffre_ebox_notices_waiting", "Notices that are in no message for My eBox yet.", nil, nil)
	eboxReadMetric     = prometheus.NewDesc("coffre_ebox_messages_read", "Messages that citizens read, as far as My eBox told.", nil, nil)
	eboxOldestMetric   = prometheus.NewDesc("coffre_ebox_oldest_pending_timestamp_seconds", "When the oldest message that waits for My eBox was made; absent when none does.", nil, nil)
)

// eboxMetrics tell how messages to citizens do.
type eboxMetrics struct{ v *Instance }

func (eboxMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{eboxMessagesMetric, eboxLooseMetric, eboxReadMetric, eboxOldestMetric} {
		out <- d
	}
}

func (m eboxMetrics) Collect(out chan<- prometheus.Metric) {
	if m.v.ebox == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := m.v.eboxDesk.Status(ctx)
	if err != nil {
		return // the scrape says so by what is missing
	}
	for state, n := range s.Messages {
		out <- prometheus.MustNewConstMetric(eboxMessagesMetric, prometheus.GaugeValue, float64(n), string(state))
	}
	out <- prometheus.MustNewConstMetric(eboxLooseMetric, prometheus.GaugeValue, float64(s.Loose))
	out <- prometheus.MustNewConstMetric(eboxReadMetric, prometheus.GaugeValue, float64(s.Read))
	if !s.Oldest.IsZero() {
		out <- prometheus.MustNewConstMetric(eboxOldestMetric, prometheus.GaugeValue, float64(s.Oldest.UnixMicro())/1e6)
	}
}

var (
	clockLookedMetric    = prometheus.NewDesc("coffre_clock_looked_timestamp_seconds", "When the clock of any process last announced everything that had fallen due, as it does once a minute; absent before the first time.", nil, nil)
	clockDoubtsMetric    = prometheus.NewDesc("coffre_clock_in_doubt", "1 while this process announces nothing because the time of its machine jumped, or came to be more than a day after the last look.", nil, nil)
	clockAnnouncedMetric = prometheus.NewDesc("coffre_clock_announced_total", "Ends of documents, consents and times to answer that this process announced.", nil, nil)
)

// clockMetrics tell how the clock does.
type clockMetrics struct{ v *Instance }

func (clockMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{clockLookedMetric, clockDoubtsMetric, clockAnnouncedMetric} {
		out <- d
	}
}

func (m clockMetrics) Collect(out chan<- prometheus.Metric) {
	if m.v.clock == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := m.v.clock.Status(ctx)
	if err != nil {
		return // the scrape says so by what is missing
	}
	if !s.Looked.IsZero() {
		out <- prometheus.MustNewConstMetric(clockLookedMetric, prometheus.GaugeValue, float64(s.Looked.UnixMicro())/1e6)
	}
	doubts := 0.0
	if s.Doubts {
		doubts = 1
	}
	out <- prometheus.MustNewConstMetric(clockDoubtsMetric, prometheus.GaugeValue, doubts)
	out <- prometheus.MustNewConstMetric(clockAnnouncedMetric, prometheus.CounterValue, float64(s.Announced))
}

var (
	enabledMetric = prometheus.NewDesc("coffre_webhook_enabled", "1 while the webhook's receiver is told of changes, 0 since it answered 410; absent without a webhook.", nil, nil)
	pendingMetric = prometheus.NewDesc("coffre_webhook_pending", "Deliveries of the webhook that wait for their next try.", nil, nil)
	failedMetric  = prometheus.NewDesc("coffre_webhook_failed", "Deliveries of the webhook whose every try failed.", nil, nil)

	subscriptionsMetric        = prometheus.NewDesc("coffre_webhook_subscriptions", "Webhooks of organisations, by state: enabled, or gone since their receiver answered 410.", []string{"state"}, nil)
	subscriptionsPendingMetric = prometheus.NewDesc("coffre_webhook_subscriptions_pending", "Deliveries to webhooks of organisations that wait for their next try.", nil, nil)
	subscriptionsFailedMetric  = prometheus.NewDesc("coffre_webhook_subscriptions_failed", "Deliveries to webhooks of organisations whose every try failed.", nil, nil)
)

var (
	brokerPublishedMetric = prometheus.NewDesc("coffre_broker_published_total", "Signals that a link's broker keeps; absent where no organisation is told through a broker.", []string{"link"}, nil)
	brokerFailingMetric   = prometheus.NewDesc("coffre_broker_failing_since_timestamp_seconds", "Since when no try to publish through a link succeeds; absent while the last one did.", []string{"link"}, nil)
)

// brokerMetrics tell how the links to brokers do.
type brokerMetrics struct{ v *Instance }

func (brokerMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- brokerPublishedMetric
	out <- brokerFailingMetric
}

func (m brokerMetrics) Collect(out chan<- prometheus.Metric) {
	if m.v.brokers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := m.v.brokers.States(ctx)
	if err != nil {
		return // the scrape says so by what is missing
	}
	for _, s := range all {
		out <- prometheus.MustNewConstMetric(brokerPublishedMetric, prometheus.CounterValue, float64(s.Published), s.Name)
		if !s.Failing.IsZero() {
			out <- prometheus.MustNewConstMetric(brokerFailingMetric, prometheus.GaugeValue, float64(s.Failing.UnixMicro())/1e6, s.Name)
		}
	}
}

// webhookMetrics tell how the webhook does.
type webhookMetrics struct{ v *Instance }

func (webhookMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- enabledMetric
	out <- pendingMetric
	out <- failedMetric
	out <- subscriptionsMetric
	out <- subscriptionsPendingMetric
	out <- subscriptionsFailedMetric
}

func (w webhookMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.v.book != nil {
		w.collectSubscriptions(ctx, out)
	}
	if w.v.hook == nil {
		return
	}
	s, err := w.v.hook.Status(ctx)
	if err != nil {
		return // the scrape says so by what is missing
	}
	enabled := 0.0
	if s.Disabled.IsZero() {
		enabled = 1
	}
	out <- prometheus.MustNewConstMetric(enabledMetric, prometheus.GaugeValue, enabled)
	out <- prometheus.MustNewConstMetric(pendingMetric, prometheus.GaugeValue, float64(s.Pending))
	out <- prometheus.MustNewConstMetric(failedMetric, prometheus.GaugeValue, float64(s.Failed))
}

// collectSubscriptions tells how the webhooks of organisations do.
func (w webhookMetrics) collectSubscriptions(ctx context.Context, out chan<- prometheus.Metric) {
	all, err := w.v.book.Of(ctx, "", "")
	if err != nil {
		return // the scrape says so by what is missing
	}
	states := map[webhook.SubscriptionState]float64{webhook.SubscriptionEnabled: 0, webhook.SubscriptionGone: 0}
	var pending, failed int64
	for _, s := range all {
		states[s.State]++
		pending, failed = pending+s.Pending, failed+s.Failed
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(subscriptionsMetric, prometheus.GaugeValue, n, string(state))
	}
	out <- prometheus.MustNewConstMetric(subscriptionsPendingMetric, prometheus.GaugeValue, float64(pending))
	out <- prometheus.MustNewConstMetric(subscriptionsFailedMetric, prometheus.GaugeValue, float64(failed))
}
