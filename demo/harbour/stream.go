package harbour

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// How the stream of events is kept up.
const (
	streamEvery = 200 * time.Millisecond // between two looks for what is new
	streamQuiet = time.Second            // after so long without news a comment shows that it lives
	streamLife  = time.Hour              // a session's
)

// parcelEvent is one line of the caller's stream.
type parcelEvent struct {
	id       int64
	ParcelID int64  `json:"parcel_id"`
	At       string `json:"at"`
	Status   string `json:"status"`
}

func scanParcelEvent(r scanner) (parcelEvent, error) {
	var e parcelEvent
	return e, r.Scan(&e.id, &e.ParcelID, &e.At, &e.Status)
}

// followParcels tells the caller what becomes of their parcels, as it happens
// (text/event-stream), until the client leaves or the session would end.
func (s *Server) followParcels(c *call) error {
	last, err := one(c.ctx(), s.db, scanInt, `SELECT coalesce(max(id), 0) FROM events`)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(c.w)
	look, end := time.NewTicker(streamEvery), time.NewTimer(streamLife)
	defer look.Stop()
	defer end.Stop()
	var spoke time.Time
	for {
		news, err := many(c.ctx(), s.db, scanParcelEvent, `SELECT events.id, parcel_id, at, events.status FROM events
			JOIN parcels ON parcels.id = parcel_id WHERE customer_id = ? AND events.id > ? ORDER BY events.id LIMIT 100`, c.who.ID, last)
		if err != nil {
			return nil // the head is out: an end is all that can be said
		}
		for _, e := range news {
			raw, err := json.Marshal(e)
			if err != nil {
				return nil
			}
			last = e.id
			if _, err = fmt.Fprintf(c.w, "event: parcel\ndata: %s\n\n", raw); err != nil {
				return nil
			}
		}
		if len(news) == 0 && time.Since(spoke) >= streamQuiet {
			if _, err = fmt.Fprint(c.w, ": nothing new\n\n"); err != nil {
				return nil
			}
		}
		if len(news) > 0 || time.Since(spoke) >= streamQuiet {
			spoke = time.Now()
			if out.Flush() != nil {
				return nil
			}
		}
		select {
		case <-c.ctx().Done():
			return nil
		case <-s.ending:
			return nil
		case <-end.C:
			return nil
		case <-look.C:
		}
	}
}

// EndStreams ends the open streams, so that a server that waits for its handlers can stop.
func (s *Server) EndStreams() { s.endOnce.Do(func() { close(s.ending) }) }
