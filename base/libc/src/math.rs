//! Mathematical functions, from the `libm` crate (D-0303): Rust's floating-point methods call these C names.

macro_rules! functions {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        c_api! { $(fn $name($($arg: $ty),*) -> $ret { libm::$name($($arg),*) })* }
    };
}

functions! {
    acos(x: f64) -> f64; acosf(x: f32) -> f32; acosh(x: f64) -> f64; acoshf(x: f32) -> f32;
    asin(x: f64) -> f64; asinf(x: f32) -> f32; asinh(x: f64) -> f64; asinhf(x: f32) -> f32;
    atan(x: f64) -> f64; atanf(x: f32) -> f32; atan2(y: f64, x: f64) -> f64; atan2f(y: f32, x: f32) -> f32;
    atanh(x: f64) -> f64; atanhf(x: f32) -> f32;
    cbrt(x: f64) -> f64; cbrtf(x: f32) -> f32; ceil(x: f64) -> f64; ceilf(x: f32) -> f32;
    copysign(x: f64, y: f64) -> f64; copysignf(x: f32, y: f32) -> f32;
    cos(x: f64) -> f64; cosf(x: f32) -> f32; cosh(x: f64) -> f64; coshf(x: f32) -> f32;
    erf(x: f64) -> f64; erff(x: f32) -> f32; erfc(x: f64) -> f64; erfcf(x: f32) -> f32;
    exp(x: f64) -> f64; expf(x: f32) -> f32; exp2(x: f64) -> f64; exp2f(x: f32) -> f32;
    exp10(x: f64) -> f64; exp10f(x: f32) -> f32; expm1(x: f64) -> f64; expm1f(x: f32) -> f32;
    fabs(x: f64) -> f64; fabsf(x: f32) -> f32; fdim(x: f64, y: f64) -> f64; fdimf(x: f32, y: f32) -> f32;
    floor(x: f64) -> f64; floorf(x: f32) -> f32;
    fma(x: f64, y: f64, z: f64) -> f64; fmaf(x: f32, y: f32, z: f32) -> f32;
    fmax(x: f64, y: f64) -> f64; fmaxf(x: f32, y: f32) -> f32;
    fmin(x: f64, y: f64) -> f64; fminf(x: f32, y: f32) -> f32;
    fmod(x: f64, y: f64) -> f64; fmodf(x: f32, y: f32) -> f32;
    hypot(x: f64, y: f64) -> f64; hypotf(x: f32, y: f32) -> f32;
    j0(x: f64) -> f64; j1(x: f64) -> f64; y0(x: f64) -> f64; y1(x: f64) -> f64;
    ldexp(x: f64, n: i32) -> f64; ldexpf(x: f32, n: i32) -> f32;
    lgamma(x: f64) -> f64; lgammaf(x: f32) -> f32; tgamma(x: f64) -> f64; tgammaf(x: f32) -> f32;
    log(x: f64) -> f64; logf(x: f32) -> f32; log10(x: f64) -> f64; log10f(x: f32) -> f32;
    log1p(x: f64) -> f64; log1pf(x: f32) -> f32; log2(x: f64) -> f64; log2f(x: f32) -> f32;
    nextafter(x: f64, y: f64) -> f64; nextafterf(x: f32, y: f32) -> f32;
    pow(x: f64, y: f64) -> f64; powf(x: f32, y: f32) -> f32;
    remainder(x: f64, y: f64) -> f64; remainderf(x: f32, y: f32) -> f32;
    rint(x: f64) -> f64; rintf(x: f32) -> f32; round(x: f64) -> f64; roundf(x: f32) -> f32;
    roundeven(x: f64) -> f64; roundevenf(x: f32) -> f32;
    scalbn(x: f64, n: i32) -> f64; scalbnf(x: f32, n: i32) -> f32;
    sin(x: f64) -> f64; sinf(x: f32) -> f32; sinh(x: f64) -> f64; sinhf(x: f32) -> f32;
    sqrt(x: f64) -> f64; sqrtf(x: f32) -> f32; tan(x: f64) -> f64; tanf(x: f32) -> f32;
    tanh(x: f64) -> f64; tanhf(x: f32) -> f32; trunc(x: f64) -> f64; truncf(x: f32) -> f32;
}

c_api! {
    fn nearbyint(x: f64) -> f64 { libm::rint(x) }
    fn nearbyintf(x: f32) -> f32 { libm::rintf(x) }
    fn lrint(x: f64) -> i64 { libm::rint(x) as i64 }
    fn lrintf(x: f32) -> i64 { libm::rintf(x) as i64 }
    fn llrint(x: f64) -> i64 { libm::rint(x) as i64 }
    fn lround(x: f64) -> i64 { libm::round(x) as i64 }
    fn lroundf(x: f32) -> i64 { libm::roundf(x) as i64 }
    fn llround(x: f64) -> i64 { libm::round(x) as i64 }
    fn frexp(x: f64, exponent: *mut i32) -> f64 {
        let (mantissa, power) = libm::frexp(x);
        *exponent = power;
        mantissa
    }
    fn frexpf(x: f32, exponent: *mut i32) -> f32 {
        let (mantissa, power) = libm::frexpf(x);
        *exponent = power;
        mantissa
    }
    fn modf(x: f64, whole: *mut f64) -> f64 {
        let (fraction, integral) = libm::modf(x);
        *whole = integral;
        fraction
    }
    fn modff(x: f32, whole: *mut f32) -> f32 {
        let (fraction, integral) = libm::modff(x);
        *whole = integral;
        fraction
    }
    fn lgamma_r(x: f64, sign: *mut i32) -> f64 {
        let (value, negative) = libm::lgamma_r(x);
        *sign = negative;
        value
    }
    fn lgammaf_r(x: f32, sign: *mut i32) -> f32 {
        let (value, negative) = libm::lgammaf_r(x);
        *sign = negative;
        value
    }
    fn sincos(x: f64, sine: *mut f64, cosine: *mut f64) {
        (*sine, *cosine) = libm::sincos(x);
    }
    fn sincosf(x: f32, sine: *mut f32, cosine: *mut f32) {
        (*sine, *cosine) = libm::sincosf(x);
    }
}
