//! Compressed sensing of expression profiles: a few composite measurements
//! y = A (x + noise) and a dictionary U of gene modules, learned from other
//! samples, give back x ≈ U w with few non-zero activities w.
//!
//! * [`measurement`] makes A and measures.
//! * [`pursuit`] finds sparse activities: orthogonal matching pursuit with and
//!   without signs, and the whole path of the lasso, all on Gram matrices.
//! * [`dictionary`] learns U: truncated SVD, K-SVD, SMAF, sparse NMF.
//! * [`recovery`] decodes y with A U, with standard errors per gene.
//! * [`evaluation`] compares recovered profiles with the truth.
//!
//! A decoder that is no dictionary (a network from y to x, or a generator whose
//! input is sought) stands beside [`recovery`] and is judged by [`evaluation`]:
//! neither knows the other.
//!
//! Source: Cleary, Cong, Cheung, Lander and Regev, Cell 171:1424 (2017), and
//! what each module cites.

pub mod codes;
pub mod decoder;
mod decoding;
pub mod dictionary;
pub mod evaluation;
pub mod measurement;
pub mod pursuit;
pub mod recovery;
