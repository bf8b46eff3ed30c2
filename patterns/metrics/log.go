package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshmq/meshmq/socket/spool"
)

// Spool is what WatchSpool takes: a *spool.Log, or a *spool.Window.
type Spool interface{ Stats() spool.Stats }

func ofLogs(name, help string, kind prometheus.ValueType, value func(s *spool.Stats) float64) metric[spool.Stats] {
	return metric[spool.Stats]{desc: newDesc(name, help, "spool"), kind: kind, value: value}
}

var ofLog = []metric[spool.Stats]{
	ofLogs("log_bytes", "Bytes the log takes on disk.", gauge, func(s *spool.Stats) float64 { return float64(s.Bytes) }),
	ofLogs("log_segments", "Files of the log.", gauge, func(s *spool.Stats) float64 { return float64(len(s.Segments)) }),
	ofLogs("log_appended_messages_total", "Messages appended since the log was opened.", counter, func(s *spool.Stats) float64 { return float64(s.Appended) }),
	ofLogs("log_syncs_total", "Writes to disk that were waited for.", counter, func(s *spool.Stats) float64 { return float64(s.Syncs) }),
	ofLogs("log_dropped_messages_total", "Messages let go before they were acknowledged, or by retention.", counter, func(s *spool.Stats) float64 { return float64(s.Dropped) }),
	ofLogs("log_full", "1 while there is no room.", gauge, func(s *spool.Stats) float64 { return flag(s.Full != nil) }),
	ofLogs("log_failed", "1 if the log has stopped.", gauge, func(s *spool.Stats) float64 { return flag(s.Failed != nil) }),
	ofLogs("log_torn_bytes", "Bytes as of a write that was cut short, cut off its end, and its dead letters', when the log was opened.", gauge, func(s *spool.Stats) float64 { return float64(s.Recovery.Torn + s.Recovery.TornLetters) }),
	ofLogs("log_damaged_places", "Places that could not be read when the log was opened.", gauge, func(s *spool.Stats) float64 { return float64(len(s.Recovery.Damage)) }),
	ofLogs("log_acks_lost", "1 if acknowledgements may have been among them.", gauge, func(s *spool.Stats) float64 { return flag(s.Recovery.AcksLost()) }),
	ofLogs("log_missing_marks", "Marks of a window that could not be read then.", gauge, func(s *spool.Stats) float64 { return float64(s.Recovery.Missing) }),
}

var (
	logLag    = newDesc("log_consumer_lag_messages", "Messages that the consumer has not acknowledged, and that are there.", "spool", "consumer")
	logFailed = newDesc("log_consumer_failed_messages", "Of those, messages that failed at least once.", "spool", "consumer")
)

func collectLog(out chan<- prometheus.Metric, name string, s spool.Stats) {
	for _, m := range ofLog {
		m.collect(out, &s, name)
	}
	for _, c := range s.Consumers {
		out <- prometheus.MustNewConstMetric(logLag, gauge, float64(c.Pending), name, text(c.Name))
		out <- prometheus.MustNewConstMetric(logFailed, gauge, float64(c.Failed), name, text(c.Name))
	}
}
