//! Made-up vectors for tests and benchmarks: clustered like embeddings, or uniform.

/// A seeded source of vectors.
#[derive(Clone, Debug)]
pub struct Vectors {
    seed: u64,
    dims: usize,
    centres: Vec<Vec<f32>>,
}

/// Deviation inside a cluster, where centres have deviation 1.
const SPREAD: f32 = 0.7;

impl Vectors {
    /// `clusters = 0` gives vectors without structure.
    pub fn new(dims: usize, clusters: usize, seed: u64) -> Self {
        let mut vectors = Self {
            seed: seed.max(1),
            dims,
            centres: Vec::new(),
        };
        vectors.centres = (0..clusters).map(|_| vectors.noise()).collect();
        vectors
    }

    fn uniform(&mut self) -> f32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        ((self.seed >> 40) as f32 + 0.5) / (1u64 << 24) as f32
    }

    fn noise(&mut self) -> Vec<f32> {
        let gauss = |a: f32, b: f32| (-2.0 * a.ln()).sqrt() * (core::f32::consts::TAU * b).cos();
        (0..self.dims)
            .map(|_| gauss(self.uniform(), self.uniform()))
            .collect()
    }

    /// The next vector, in the cluster that `i` chooses.
    pub fn make(&mut self, i: usize) -> Vec<f32> {
        let mut vector = self.noise();
        if !self.centres.is_empty() {
            let centre = &self.centres[i.wrapping_mul(7919) % self.centres.len()];
            vector
                .iter_mut()
                .zip(centre)
                .for_each(|(x, c)| *x = c + SPREAD * *x);
        }
        vector
    }
}
