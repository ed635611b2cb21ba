// Package settings says what the environment can set, for every way to run the program. It is read once, at the edge;
// everything that is wrong is named together, with an example.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Serve is what `sipeat serve` can be told.
type Serve struct {
	HTTP  string // SIPEAT_HTTP: where the API listens; on loopback, because it is open to whoever reaches it
	Kafka string // SIPEAT_KAFKA: where the embedded broker listens; on loopback for the same reason
	Data  string // SIPEAT_DATA: the folder of the broker's log and the read model
}

// Notify is how people are told, as package notify takes it: who makes the channels says what is wrong with it.
type Notify struct {
	Channels       string // NOTIFY: a list of log, smtp, ses, discord
	From           string // NOTIFY_FROM: whom mail is from
	To             string // NOTIFY_TO: who is told where an event names nobody
	SMTPURL        string // SMTP_URL
	DiscordWebhook string // DISCORD_WEBHOOK
}

// Settings is what the environment says.
type Settings struct {
	Serve               Serve
	Brokers             Kafka
	Web                 Web
	Notify              Notify
	Store               string     // STORE: the path of a SQLite file, or dynamodb
	Table               string     // TABLE_NAME: DynamoDB's table of the read model
	ClaimsTable         string     // CLAIMS_TABLE_NAME: DynamoDB's table of the delivery claims; it stays when TABLE_NAME changes
	ClaimsFile          string     // CLAIMS_FILE: the SQLite file of the delivery claims; "" = claims.db in the folder of STORE
	AnnouncedByProducer []string   // ANNOUNCED_BY_PRODUCER: producers that write their own notifications
	PartialBatches      bool       // PARTIAL_BATCH_RESPONSES: on Lambda, the mapping takes answers that name what failed (ReportBatchItemFailures)
	LogLevel            slog.Level // LOG_LEVEL: debug, info, warn or error
	LogFormat           string     // LOG_FORMAT: text or json; "" = text on a terminal and for commands that end, JSON elsewhere
	Metrics             string     // METRICS: where /metrics is served; "" = beside the API, if that is on loopback
}

// DynamoDB is the STORE that is no file.
const DynamoDB = "dynamodb"

// DefaultStore is where `sipeat serve` has its read model too.
const DefaultStore = ".sipeat/read-model.db"

// Read reads the environment by getenv, such as [os.Getenv]. What is not set has the default of a laptop.
func Read(getenv func(string) string) (Settings, error) {
	r := reader{getenv: getenv}
	s := Settings{
		Serve: Serve{
			HTTP:  r.text("SIPEAT_HTTP", "127.0.0.1:8080"),
			Kafka: r.text("SIPEAT_KAFKA", "127.0.0.1:9092"),
			Data:  r.text("SIPEAT_DATA", ".sipeat"),
		},
		Brokers: r.kafka(),
		Web:     r.web(),
		Notify: Notify{
			Channels:       r.text("NOTIFY", "log"),
			From:           r.text("NOTIFY_FROM", ""),
			To:             r.text("NOTIFY_TO", ""),
			SMTPURL:        r.text("SMTP_URL", ""),
			DiscordWebhook: r.text("DISCORD_WEBHOOK", ""),
		},
		Store:               r.text("STORE", DefaultStore),
		Table:               r.text("TABLE_NAME", "sipeat"),
		ClaimsTable:         r.text("CLAIMS_TABLE_NAME", "sipeat-claims"),
		ClaimsFile:          r.text("CLAIMS_FILE", ""),
		AnnouncedByProducer: r.producers("ANNOUNCED_BY_PRODUCER", "sipeat-app"),
		PartialBatches:      r.flag("PARTIAL_BATCH_RESPONSES"),
	}
	if err := s.Brokers.Check(); err != nil {
		r.faults = append(r.faults, err)
	}
	if s.LogFormat = strings.ToLower(r.text("LOG_FORMAT", "")); s.LogFormat != "" && s.LogFormat != "text" && s.LogFormat != "json" {
		r.check("LOG_FORMAT", fmt.Errorf("%q is neither text nor json", s.LogFormat))
	}
	if s.Metrics = r.text("METRICS", ""); s.Metrics != "" {
		r.check("METRICS", Address(s.Metrics))
	}
	if s.Store != DynamoDB && strings.HasPrefix(strings.ToLower(s.Store), "dynamo") {
		r.check("STORE", fmt.Errorf("%q is nearly %s; for example STORE=%s, or STORE=./%s for a file of that name", s.Store, DynamoDB, DynamoDB, s.Store))
	}
	for setting, table := range map[string]string{"TABLE_NAME": s.Table, "CLAIMS_TABLE_NAME": s.ClaimsTable} {
		if !isTable(table) {
			r.check(setting, fmt.Errorf("%q is no name of 3 to 255 letters, digits, dots, dashes and underscores; for example %s=sipeat", table, setting))
		}
	}
	if s.Table == s.ClaimsTable {
		r.check("CLAIMS_TABLE_NAME", fmt.Errorf("%q is TABLE_NAME too: the delivery claims need a table of their own", s.ClaimsTable))
	}
	if level := r.text("LOG_LEVEL", "info"); s.LogLevel.UnmarshalText([]byte(level)) != nil {
		r.check("LOG_LEVEL", fmt.Errorf("%q is none of debug, info, warn, error; for example LOG_LEVEL=info", level))
	}
	return s, errors.Join(r.faults...)
}

// Names are all that [Read] asks for, whatever else is set.
func Names() (names []string) {
	for _, auth := range []string{"", "jwt", "token"} {
		_, _ = Read(func(name string) string { // what is wrong with nothing set is nobody's fault
			if names = append(names, name); name == "AUTH" {
				return auth
			}
			return ""
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isTable tells whether DynamoDB takes the name
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
func isTable(name string) bool {
	return 3 <= len(name) && len(name) <= 255 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// Check says what is wrong with where serve shall listen.
func (s Serve) Check() error {
	var faults []error
	for _, a := range []struct{ name, address string }{{"--http (SIPEAT_HTTP)", s.HTTP}, {"--kafka (SIPEAT_KAFKA)", s.Kafka}} {
		if err := Loopback(a.address); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", a.name, err))
		}
	}
	if s.Data == "" {
		faults = append(faults, errors.New("--data (SIPEAT_DATA): no folder is named; for example --data .sipeat"))
	}
	return errors.Join(faults...)
}

// Address says what is wrong with a host:port.
func Address(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		example := "9092"
		if p := strings.TrimPrefix(address, ":"); p != "" && strings.Trim(p, "0123456789") == "" {
			example = p
		}
		return fmt.Errorf("%q is no host:port with a port from 0 to 65535; for example 127.0.0.1:%s", address, example)
	}
	return nil
}

// Loopback says what is wrong with an address where only this machine shall reach what listens.
func Loopback(address string) error {
	err := Address(address)
	if err == nil && !loopback(address) {
		err = fmt.Errorf("%q can be reached from other machines, and nobody is asked there who they are: use 127.0.0.1 or localhost", address)
	}
	return err
}

// IsLoopback reports whether only this machine reaches what listens there.
func IsLoopback(address string) bool { return loopback(address) }

func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type reader struct {
	getenv func(string) string
	faults []error
}

func (r *reader) text(name, fallback string) string {
	if value := strings.TrimSpace(r.getenv(name)); value != "" {
		return value
	}
	return fallback
}

func (r *reader) list(name, fallback string) []string {
	var values []string
	for value := range strings.SplitSeq(r.text(name, fallback), ",") {
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
	}
	return values
}

// producers is a list that may be said to be empty, by the word none.
func (r *reader) producers(name, fallback string) []string {
	if given := r.list(name, fallback); !slices.Equal(given, []string{"none"}) {
		return given
	}
	return nil
}

// flag is false where it is not set.
func (r *reader) flag(name string) bool {
	on, err := strconv.ParseBool(r.text(name, "false"))
	if err != nil {
		r.check(name, fmt.Errorf("%q is neither true nor false; for example %s=true", r.getenv(name), name))
	}
	return on
}

func (r *reader) check(name string, err error) {
	if err != nil {
		r.faults = append(r.faults, fmt.Errorf("%s: %w", name, err))
	}
}
