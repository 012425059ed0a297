package broker

import (
	"context"
	stdsql "database/sql"

	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"

	"coffre/eventstore/postgres/pgdb"
)

// OutboxOptions say where a table of an organisation's PostgreSQL is.
type OutboxOptions struct {
	DSN    string // postgres://…
	Schema string // in which the table is
	Table  string // of lower-case letters, digits and _
}

// Outbox returns what connects to a table in the form of Watermill's SQL publisher, with an index
// that keeps each event once: "offset" and transaction_id order the rows, uuid is the event's id,
// payload the CloudEvent, metadata holds its type. The vault makes the table where it is missing.
func Outbox(o OutboxOptions) func(context.Context) (Publisher, error) {
	return func(ctx context.Context) (Publisher, error) {
		db, err := pgdb.Open(o.DSN, pgdb.Options{Schema: o.Schema, Name: "coffre outbox", Conns: 1})
		if err != nil {
			return nil, err
		}
		if err := db.PingContext(ctx); err != nil {
			db.Close()
			return nil, err
		}
		p, err := sql.NewPublisher(sql.BeginnerFromStdSQL(db.DB), sql.PublisherConfig{
			SchemaAdapter: oncePerEvent{sql.DefaultPostgreSQLSchema{
				GenerateMessagesTableName: func(string) string { return `"` + o.Table + `"` },
			}, o.Table},
			AutoInitializeSchema: true,
		}, nil)
		if err != nil {
			db.Close()
			return nil, err
		}
		return outbox{p, db.DB, o.Table}, nil
	}
}

// outbox publishes all types of events to one table, and closes its connection.
type outbox struct {
	message.Publisher
	db    *stdsql.DB
	table string
}

// Publish implements Publisher.
func (o outbox) Publish(topic string, all ...*message.Message) error {
	for _, m := range all {
		m.Metadata.Set("type", serviceName+topic)
		m.Metadata.Set("contentType", contentType)
	}
	return o.Publisher.Publish(o.table, all...)
}

// Close implements Publisher.
func (o outbox) Close() error {
	_ = o.Publisher.Close() // it closes nothing that can fail
	return o.db.Close()
}

// oncePerEvent is Watermill's form of the table, in which the id of an event is unique.
type oncePerEvent struct {
	sql.DefaultPostgreSQLSchema
	table string
}

// SchemaInitializingQueries implements sql.SchemaAdapter.
func (s oncePerEvent) SchemaInitializingQueries(p sql.SchemaInitializingQueriesParams) ([]sql.Query, error) {
	all, err := s.DefaultPostgreSQLSchema.SchemaInitializingQueries(p)
	return append(all, sql.Query{Query: `CREATE UNIQUE INDEX IF NOT EXISTS "` + s.table + `_uuid" ON "` + s.table + `" ("uuid")`}), err
}

// InsertQuery implements sql.SchemaAdapter.
func (s oncePerEvent) InsertQuery(p sql.InsertQueryParams) (sql.Query, error) {
	q, err := s.DefaultPostgreSQLSchema.InsertQuery(p)
	q.Query += ` ON CONFLICT ("uuid") DO NOTHING`
	return q, err
}
