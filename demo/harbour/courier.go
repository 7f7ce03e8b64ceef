package harbour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// stop is what a courier needs at a door, and no more: no price, no declared value.
type stop struct {
	ParcelID     int64       `json:"parcel_id"`
	CourierID    int64       `json:"courier_id"`
	TrackingCode string      `json:"tracking_code"`
	Status       string      `json:"status"`
	Recipient    recipient   `json:"recipient"`
	Destination  destination `json:"destination"`
}

// getRun lists what a courier has on the van.
func (s *Server) getRun(c *call) error {
	id, err := c.intParam("courier_id", c.who.ID, 1<<31-1)
	if err != nil {
		return err
	}
	// With bola-run-query the parameter alone says whose run it is.
	if id != c.who.ID && !s.open("bola-run-query") {
		return notFound("run")
	}
	all, err := many(c.ctx(), s.db, scanParcel, parcelQuery+` WHERE courier_id = ? AND status = ? ORDER BY id LIMIT 200`, id, outForDelivery)
	if err != nil {
		return err
	}
	items := make([]stop, len(all))
	for i, p := range all {
		items[i] = stop{p.ID, p.CourierID, p.TrackingCode, p.Status, p.Recipient, p.Destination}
	}
	return c.send(http.StatusOK, map[string]any{"courier_id": id, "items": items})
}

type scan struct {
	TrackingCode string `json:"tracking_code"`
	Status       string `json:"status"`
	DepotID      int64  `json:"depot_id"`
	Note         string `json:"note"`
}

type scansInput struct {
	Scans []scan `json:"scans"`
}

// scanParcels takes the codes that a courier's scanner has collected. Loading a
// parcel onto the van (out_for_delivery) makes it that courier's.
func (s *Server) scanParcels(c *call) error { return s.takeScans(c, c.who.ID) }

// partnerScans takes the codes of a depot's sorting machine.
func (s *Server) partnerScans(c *call) error { return s.takeScans(c, 0) }

func (s *Server) takeScans(c *call, courierID int64) error {
	var in scansInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	if len(in.Scans) < 1 || len(in.Scans) > maxBatch {
		k.fault("/scans", fmt.Sprintf("1 to %d scans are needed", maxBatch))
	}
	for i, sc := range in.Scans {
		at := fmt.Sprintf("/scans/%d", i)
		k.match(at+"/tracking_code", sc.TrackingCode, reTracking)
		k.oneOf(at+"/status", sc.Status, inTransit, outForDelivery)
		k.number(at+"/depot_id", sc.DepotID, 0, 1<<31-1)
		k.text(at+"/note", sc.Note, 0, 200)
	}
	if err := k.err(); err != nil {
		return err
	}
	accepted, unknown := 0, []string{}
	for _, sc := range in.Scans {
		ok, err := s.takeScan(c.ctx(), sc, courierID)
		if err != nil {
			return err
		}
		if ok {
			accepted++
		} else {
			unknown = append(unknown, sc.TrackingCode)
		}
	}
	return c.send(http.StatusOK, map[string]any{"accepted": accepted, "unknown": unknown})
}

func (s *Server) takeScan(ctx context.Context, sc scan, courierID int64) (bool, error) {
	if sc.Status != outForDelivery {
		courierID = 0
	}
	id, err := one(ctx, s.db, scanInt, `UPDATE parcels SET status = ?, courier_id = CASE WHEN ? > 0 THEN ? ELSE courier_id END, depot_id = CASE WHEN ? > 0 THEN ? ELSE depot_id END
		WHERE tracking_code = ? AND status IN (?, ?, ?) RETURNING id`,
		sc.Status, courierID, courierID, sc.DepotID, sc.DepotID, sc.TrackingCode, dispatched, inTransit, outForDelivery)
	if errors.Is(err, errNoRow) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.addEvent(ctx, id, sc.Status, sc.DepotID, sc.Note)
}

type deliveryInput struct {
	SignedBy string `json:"signed_by"`
	UploadID string `json:"upload_id"`
}

// deliverParcel ends a parcel's way; only the courier who carries it can.
func (s *Server) deliverParcel(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in deliveryInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.text("/signed_by", in.SignedBy, 1, 80)
	if in.UploadID != "" {
		k.uuid("/upload_id", in.UploadID)
	}
	if err := k.err(); err != nil {
		return err
	}
	if p.Status != outForDelivery {
		return conflict("not_on_van", "The parcel is not out for delivery.")
	}
	_, err = exec(c.ctx(), s.db, `UPDATE parcels SET status = ? WHERE id = ?`, delivered, p.ID)
	if err == nil {
		err = s.addEvent(c.ctx(), p.ID, delivered, 0, "signed by "+in.SignedBy)
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"parcel_id": p.ID, "courier_id": c.who.ID, "status": delivered})
}
