package harbour

import (
	"errors"
	"net/http"
)

// tracking is what anybody who has the code may know. The city is there, the
// recipient is not.
type tracking struct {
	TrackingCode string  `json:"tracking_code"`
	Status       string  `json:"status"`
	Service      string  `json:"service"`
	City         string  `json:"city"`
	Country      string  `json:"country"`
	Events       []event `json:"events"`

	// Only set by the open branch of excess-tracking.
	Recipient   *recipient   `json:"recipient,omitempty"`
	Destination *destination `json:"destination,omitempty"`
}

func (s *Server) parcelByCode(c *call) (parcel, error) {
	code := c.r.PathValue("tracking_code")
	var k checker
	k.match("tracking_code", code, reTracking)
	if err := k.err(); err != nil {
		return parcel{}, err
	}
	p, err := one(c.ctx(), s.db, scanParcel, parcelQuery+` WHERE tracking_code = ?`, code)
	if errors.Is(err, errNoRow) {
		return p, notFound("parcel")
	}
	return p, err
}

func (s *Server) track(c *call) error {
	p, err := s.parcelByCode(c)
	if err != nil {
		return err
	}
	events, err := s.eventsOf(c.ctx(), p.ID)
	if err != nil {
		return err
	}
	out := tracking{TrackingCode: p.TrackingCode, Status: p.Status, Service: p.Service, City: p.Destination.City, Country: p.Destination.Country, Events: events}
	if s.open("excess-tracking") {
		// Whoever finds a code on a parcel's photo gets name, phone and front door with it.
		out.Recipient, out.Destination = &p.Recipient, &p.Destination
	}
	return c.send(http.StatusOK, out)
}

// trackV1 is the old answer, kept for label printers in the field: status and nothing else.
func (s *Server) trackV1(c *call) error {
	p, err := s.parcelByCode(c)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]string{"code": p.TrackingCode, "state": p.Status})
}

// getParcelV1 exists only while v1-shadow-parcels is open.
func (s *Server) getParcelV1(c *call) error {
	id, err := c.pathInt("parcel_id")
	if err != nil {
		return err
	}
	p, err := s.parcelByID(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, p)
}
