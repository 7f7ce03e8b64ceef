package harbour

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// bankDelay stands for the bank's answer, which a payout waits for.
const bankDelay = 20 * time.Millisecond

func (s *Server) balanceOf(ctx context.Context, userID int64) (int64, error) {
	return one(ctx, s.db, scanInt, `SELECT balance_cents FROM users WHERE id = ?`, userID)
}

func (s *Server) getWallet(c *call) error {
	balance, err := s.balanceOf(c.ctx(), c.who.ID)
	if err != nil {
		return err
	}
	paid, err := one(c.ctx(), s.db, scanInt, `SELECT coalesce(sum(amount_cents), 0) FROM payouts WHERE customer_id = ?`, c.who.ID)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{
		"customer_id": c.who.ID, "balance_cents": balance, "paid_out_cents": paid, "currency": "EUR",
	})
}

type payoutInput struct {
	Amount int64  `json:"amount_cents"`
	IBAN   string `json:"iban"`
}

func (s *Server) createPayout(c *call) error {
	var in payoutInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.number("/amount_cents", in.Amount, 100, 1_000_000)
	k.match("/iban", in.IBAN, reIBAN)
	if err := k.err(); err != nil {
		return err
	}
	short := conflict("insufficient_balance", "The balance does not cover this payout.")
	if s.open("race-balance") {
		// Check, wait for the bank, then write what was read before: whoever asks twice at once is paid twice.
		balance, err := s.balanceOf(c.ctx(), c.who.ID)
		if err != nil {
			return err
		}
		if balance < in.Amount {
			return short
		}
		time.Sleep(bankDelay)
		_, err = exec(c.ctx(), s.db, `UPDATE users SET balance_cents = ? WHERE id = ?`, balance-in.Amount, c.who.ID)
		if err != nil {
			return err
		}
	} else {
		// Fixed: check and deduction are one statement, done before the bank is asked.
		n, err := exec(c.ctx(), s.db, `UPDATE users SET balance_cents = balance_cents - ? WHERE id = ? AND balance_cents >= ?`, in.Amount, c.who.ID, in.Amount)
		if err != nil {
			return err
		}
		if n == 0 {
			return short
		}
		time.Sleep(bankDelay)
	}
	id := s.newUUID()
	_, err = exec(c.ctx(), s.db, `INSERT INTO payouts (id, customer_id, amount_cents, iban, created_at) VALUES (?, ?, ?, ?, ?)`,
		id, c.who.ID, in.Amount, in.IBAN, stamp(s.now()))
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, map[string]any{"payout_id": id, "customer_id": c.who.ID, "amount_cents": in.Amount})
}

type couponInput struct {
	Code string `json:"code"`
}

func (s *Server) redeemCoupon(c *call) error {
	var in couponInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.match("/code", in.Code, reCoupon)
	if err := k.err(); err != nil {
		return err
	}
	amount, err := one(c.ctx(), s.db, scanInt, `SELECT amount_cents FROM coupons WHERE code = ? AND expires_at > ?`, in.Code, stamp(s.now()))
	if errors.Is(err, errNoRow) {
		return conflict("coupon_unknown", "There is no such coupon, or it has lapsed.")
	}
	if err != nil {
		return err
	}
	if s.open("coupon-reuse") {
		// The redemption is written down and never looked at.
		_, err = exec(c.ctx(), s.db, `INSERT INTO redemptions (code, customer_id, created_at) VALUES (?, ?, ?)`, in.Code, c.who.ID, stamp(s.now()))
	} else {
		// Fixed: one redemption a customer and coupon, checked and written in one statement.
		var n int64
		n, err = exec(c.ctx(), s.db, `INSERT INTO redemptions (code, customer_id, created_at) SELECT ?, ?, ?
			WHERE NOT EXISTS (SELECT 1 FROM redemptions WHERE code = ? AND customer_id = ?)`, in.Code, c.who.ID, stamp(s.now()), in.Code, c.who.ID)
		if err == nil && n == 0 {
			return conflict("coupon_used", "You have used this coupon.")
		}
	}
	if err != nil {
		return err
	}
	balance, err := one(c.ctx(), s.db, scanInt, `UPDATE users SET balance_cents = balance_cents + ? WHERE id = ? RETURNING balance_cents`, amount, c.who.ID)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"customer_id": c.who.ID, "amount_cents": amount, "balance_cents": balance})
}
